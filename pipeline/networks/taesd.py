"""The encoder and decoder of TAESD, the tiny autoencoder (github.com/madebyollin/taesd).

An eighth of height and width, few channels throughout. It is distilled from a large codec, whose
latents it takes and gives, so that its encoder is deterministic (pipeline.bottlenecks.identity).
The layers match the author's network one by one, so that its weights fit: `strata import --from
taesd ENCODER DECODER`.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.nn.conv import Conv, UpsamplingConv
from pipeline.nn.norm import GroupNorm
from pipeline.nn.remat import run

Map = Float[Array, "b _ _ _"]


def blocks_of(num_blocks: int | Sequence[int]) -> tuple[int, ...]:
    """Return the number of blocks at each of the four resolutions, the image's first.

    A single number is that of the three lower ones, and the image's has one block.

    Raises:
      ConfigError: there are not four numbers, or one is negative.
    """
    counts = (1, *[num_blocks] * 3) if isinstance(num_blocks, int) else tuple(num_blocks)
    if len(counts) != 4 or min(counts) < 0:
        raise ConfigError(
            f"num_blocks={num_blocks!r} of TAESD must be a number of blocks, or one for each of "
            "its 4 resolutions, the image's first"
        )
    return counts


class Pool(nnx.Module):
    """x + an inverted 1x1 bottleneck, whose group norm gives each pixel the statistics of the whole
    image.
    """

    def __init__(self, width: int, *, rngs: nnx.Rngs, dtype: Any):
        self.conv1 = Conv(width, 4 * width, 1, bias_scale=None, key=rngs.params(), dtype=dtype)
        self.norm = GroupNorm(4 * width, groups=4, eps=1e-5)
        self.conv2 = Conv(4 * width, width, 1, bias_scale=None, key=rngs.params(), dtype=dtype)

    def __call__(self, x: Map) -> Map:
        return x + self.conv2(nnx.relu(self.norm(self.conv1(x))))


class Block(nnx.Module):
    """relu(x + conv(relu(conv(relu(conv(x)))))), all 3x3; `pool` replaces x by Pool(x)."""

    def __init__(self, width: int, pool: bool, *, rngs: nnx.Rngs, dtype: Any):
        self.convs = nnx.List(
            [
                Conv(width, width, 3, bias_scale=1.0, key=rngs.params(), dtype=dtype)
                for _ in range(3)
            ]
        )
        self.pool = Pool(width, rngs=rngs, dtype=dtype) if pool else None

    def __call__(self, x: Map) -> Map:
        x = x if self.pool is None else self.pool(x)
        h = x
        for index, conv in enumerate(self.convs):
            h = conv(nnx.relu(h) if index else h)
        return nnx.relu(h + x)


class Stage(nnx.Module):
    """`num_blocks` blocks at one resolution."""

    def __init__(
        self, width: int, num_blocks: int, pool: bool = False, *, rngs: nnx.Rngs, dtype: Any
    ):
        self.blocks = nnx.List(
            [Block(width, pool, rngs=rngs, dtype=dtype) for _ in range(num_blocks)]
        )

    def __call__(self, x: Map) -> Map:
        for block in self.blocks:
            x = block(x)
        return x


class Encoder(nnx.Module):
    """Images [b h w c] in [-1, 1] -> features of an eighth of their height and width.

    Args:
      width: channels throughout; 64 is the author's.
      num_blocks: blocks at each resolution but the image's, which has one; 3 is the author's. Or a
        number for each of the four resolutions, the image's first: the blocks there cost the most.
      pool: whether blocks at the lowest resolution see the whole image's statistics, as in the form
        for FLUX.2.
    """

    is_video, spatial_factor, temporal_factor, causal = False, 8, 1, False

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        num_blocks: int | Sequence[int] = 3,
        pool: bool = False,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.out_channels = out_channels
        same: Any = dict(rngs=rngs, dtype=dtype)
        self.conv_in = _conv(in_channels, width, rngs, dtype)
        self.downs = nnx.List([_halving(width, rngs, dtype) for _ in range(3)])
        *early, last = blocks_of(num_blocks)
        stages = [Stage(width, count, **same) for count in early]
        self.stages = nnx.List([*stages, Stage(width, last, pool, **same)])
        self.conv_out = _conv(width, out_channels, rngs, dtype)

    def __call__(self, x: Map, *, remat: bool = False) -> tuple[Map, dict[str, Any]]:
        x = run(self.stages[0], self.conv_in((x + 1) / 2), remat=remat)
        for down, stage in zip(self.downs, self.stages[1:]):
            x = run(stage, down(x), remat=remat)
        return self.conv_out(x), {}


class Decoder(nnx.Module):
    """Latents [b h w d], softly clamped to -3 .. 3, -> images around [-1, 1]; the arguments are the
    encoder's.
    """

    is_video, spatial_factor, temporal_factor, causal = False, 8, 1, False
    last_layer = "conv_out.kernel"

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        num_blocks: int | Sequence[int] = 3,
        pool: bool = False,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.out_channels = out_channels
        same: Any = dict(rngs=rngs, dtype=dtype)
        self.conv_in = _conv(in_channels, width, rngs, dtype)
        *later, first = blocks_of(num_blocks)
        stages = [Stage(width, count, **same) for count in reversed(later)]
        self.stages = nnx.List([Stage(width, first, pool, **same), *stages])
        self.ups = nnx.List(
            [
                UpsamplingConv(width, width, bias_scale=None, key=rngs.params(), dtype=dtype)
                for _ in range(3)
            ]
        )
        self.conv_out = _conv(width, out_channels, rngs, dtype)

    def __call__(self, z: Map, *, remat: bool = False) -> tuple[Map, dict[str, Any]]:
        x = run(self.stages[0], nnx.relu(self.conv_in(3 * jnp.tanh(z / 3))), remat=remat)
        for up, stage in zip(self.ups, self.stages[1:]):
            x = run(stage, up(x), remat=remat)
        return 2 * self.conv_out(x).astype(jnp.float32) - 1, {}


def _conv(width: int, out: int, rngs: nnx.Rngs, dtype: Any) -> Conv:
    return Conv(width, out, 3, bias_scale=1.0, key=rngs.params(), dtype=dtype)


def _halving(width: int, rngs: nnx.Rngs, dtype: Any) -> Conv:
    return Conv(
        width, width, 3, stride=2, padding=(1, 1), bias_scale=None, key=rngs.params(), dtype=dtype
    )
