"""The skeleton of residual video codecs: levels, a middle, ends, rematerialization and the cache.

A family supplies its layers (`Layers`) and the plan of its resolutions (`Stage`); nothing here
depends on which family it is. video/wan.py is the smallest example.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.nn.cache import CausalCache
from pipeline.nn.norm_act_conv import norm_act_conv
from pipeline.nn.remat import run

Clip = Float[Array, "b _ _ _ _"]


@runtime_checkable
class Layers(Protocol):
    """Makes the layers of one network. Each is called as layer(x, cache), a norm as norm(x)."""

    def norm(self, width: int) -> Any:
        """Return a norm, which silu follows."""
        ...

    def conv(self, width: int, out: int) -> Any:
        """Return the first or the last convolution of the network."""
        ...

    def block(self, width: int, out: int) -> Any:
        """Return a residual block."""
        ...

    def middle(self, width: int) -> Any:
        """Return what is between the levels and the latents."""
        ...


class Stage(NamedTuple):
    """One resolution.

    Attributes:
      width, out: channels before and after the first residual block.
      num_blocks: residual blocks.
      resample: makes the layer to the next resolution; None for the last one.
      shortcut: what is added to the output, a function (x, cache) of the input without parameters.
      block: makes its residual blocks, (width, out); None for those of `Layers`.
    """

    width: int
    out: int
    num_blocks: int
    resample: Callable[[], Any] | None = None
    shortcut: Callable[[Clip, CausalCache | None], Clip] | None = None
    block: Callable[[int, int], Any] | None = None


class ResBlock(nnx.Module):
    """conv(silu(norm(conv(silu(norm(x)))))) plus x, or plus `shortcut(x)` where the width changes.

    Args:
      norm, conv: make a norm (width) and a convolution (width, out).
      shortcut: makes the layer from `width` to `out` channels.
    """

    def __init__(
        self,
        width: int,
        out: int,
        *,
        norm: Callable[[int], Any],
        conv: Callable[[int, int], Any],
        shortcut: Callable[[int, int], Any],
    ):
        self.norm1, self.conv1 = norm(width), conv(width, out)
        self.norm2, self.conv2 = norm(out), conv(out, out)
        self.shortcut = shortcut(width, out) if width != out else None

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        h = norm_act_conv(self.norm1, self.conv1, x, cache)
        h = norm_act_conv(self.norm2, self.conv2, h, cache)
        return h + (x if self.shortcut is None else self.shortcut(x, cache))


class Blocks(nnx.Module):
    """Residual blocks of one width."""

    def __init__(self, blocks: Sequence[ResBlock]):
        self.blocks = nnx.List(blocks)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        for block in self.blocks:
            x = block(x, cache)
        return x


class Middle(nnx.Module):
    """A residual block, attention within each frame, and a residual block."""

    def __init__(self, width: int, block: Callable[[int, int], Any], attention: Any):
        self.block1, self.attention = block(width, width), attention
        self.block2 = block(width, width)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        return self.block2(self.attention(self.block1(x, cache)), cache)


class Level(nnx.Module):
    """The residual blocks of a stage, then its `resample`, plus its `shortcut` of the input."""

    def __init__(self, stage: Stage, resample: Any, make: Layers):
        widths = [stage.width] + [stage.out] * stage.num_blocks
        block = stage.block or make.block
        self.blocks = nnx.List([block(i, o) for i, o in itertools.pairwise(widths)])
        self.resample, self.shortcut = resample, stage.shortcut

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        y = x
        for block in self.blocks:
            y = block(y, cache)
        y = y if self.resample is None else self.resample(y, cache)
        return y if self.shortcut is None else y + self.shortcut(x, cache)


class ResidualEncoder(nnx.Module):
    """Clips [b t h w c] -> features of the last stage's resolution, with `out_channels`."""

    is_video = True

    def __init__(self, make: Layers, stages: Sequence[Stage], in_channels: int, out_channels: int):
        self.out_channels = out_channels
        self.conv_in = make.conv(in_channels, stages[0].width)
        self.levels = _levels(make, stages)
        self.middle = make.middle(stages[-1].out)
        self.norm_out = make.norm(stages[-1].out)
        self.conv_out = make.conv(stages[-1].out, out_channels)

    def __call__(
        self, x: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, Any]]:
        x = self.conv_in(x, cache)
        for layer in (*self.levels, self.middle):
            x = run(layer, x, cache, remat=remat)
        return norm_act_conv(self.norm_out, self.conv_out, x, cache), {}


class ResidualDecoder(nnx.Module):
    """Latents [b t h w d] -> clips of the last stage's resolution, float32."""

    is_video, last_layer = True, "conv_out.kernel"

    def __init__(self, make: Layers, stages: Sequence[Stage], in_channels: int, out_channels: int):
        self.out_channels = out_channels
        self.conv_in = make.conv(in_channels, stages[0].width)
        self.middle = make.middle(stages[0].width)
        self.levels = _levels(make, stages)
        self.norm_out = make.norm(stages[-1].out)
        self.conv_out = make.conv(stages[-1].out, out_channels)

    def __call__(
        self, z: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, Any]]:
        x = self.conv_in(z, cache)
        for layer in (self.middle, *self.levels):
            x = run(layer, x, cache, remat=remat)
        x = norm_act_conv(self.norm_out, self.conv_out, x, cache)
        return x.astype(jnp.float32), {}


def _levels(make: Layers, stages: Sequence[Stage]) -> Any:
    resamples = [None if stage.resample is None else stage.resample() for stage in stages]
    return nnx.List([Level(stage, resample, make) for stage, resample in zip(stages, resamples)])
