"""What the encoder and decoder of DC-AE share: resolutions, and checks of their settings."""

from collections.abc import Sequence
from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.networks.dc_ae.blocks import AttentionBlock, ResBlock
from pipeline.networks.dc_ae.resampling import Doubling, Halving
from pipeline.nn.norm import Momentum

Map = Float[Array, "b _ _ _"]


class Level(nnx.Module):
    """The blocks of a resolution, after a doubling to it or before a halving of it, if any."""

    def __init__(
        self,
        blocks: Sequence[ResBlock | AttentionBlock],
        *,
        up: Doubling | None = None,
        down: Halving | None = None,
    ):
        self.up, self.down = up, down
        self.blocks = nnx.List(blocks)

    def __call__(self, x: Map, momentum: Momentum = None) -> Map:
        x = x if self.up is None else self.up(x)
        for block in self.blocks:
            x = block(x, momentum)
        return x if self.down is None else self.down(x)


def make_blocks(
    width: int,
    depth: int,
    *,
    attends: bool,
    head_dim: int,
    kernel_sizes: Sequence[int],
    batch_norm: bool = False,
    relu: bool = False,
    rngs: nnx.Rngs,
    dtype: Any,
) -> list[ResBlock | AttentionBlock]:
    """Return the blocks of a resolution of `depth` blocks."""
    same: Any = dict(rngs=rngs, dtype=dtype)
    if attends:
        sizes = tuple(kernel_sizes)
        return [AttentionBlock(width, head_dim, sizes, batch_norm, **same) for _ in range(depth)]
    return [ResBlock(width, batch_norm, relu, **same) for _ in range(depth)]


def run_level(level: Level, x: Map, momentum: Momentum, remat: bool) -> Map:
    """Return level(x, momentum), with `remat` rematerialized in the backward pass."""
    if not remat:
        return level(x, momentum)
    return nnx.remat(lambda level, x, momentum: level(x, momentum))(level, x, momentum)


def check_levels(channels: Sequence[int], depths: Sequence[int], levels: Sequence[int]) -> None:
    """Check the settings of resolutions. Raises ConfigError.

    Args:
      levels: resolutions that other settings name.
    """
    if len(channels) < 2 or len(depths) != len(channels):
        raise ConfigError(
            f"DC-AE: channels={tuple(channels)} and depths={tuple(depths)} must be of the same "
            "number of resolutions, two or more"
        )
    if any(depth < (0 if number == 0 else 1) for number, depth in enumerate(depths)):
        raise ConfigError(
            f"DC-AE: depths={tuple(depths)}: only the image's own resolution may have no blocks"
        )
    if unknown := [level for level in levels if not 0 <= level < len(channels)]:
        raise ConfigError(f"DC-AE: there is no resolution {unknown[0]}: there are {len(channels)}")
