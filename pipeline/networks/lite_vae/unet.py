"""LiteVAE's U-Net (arXiv 2405.14477, section 4.1), whose levels differ in width alone."""

import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.nn.conv import Conv
from pipeline.nn.norm import GroupNorm

Map = Float[Array, "b _ _ _"]
_EPS = 1e-5  # of group norms, torch's default


class ResBlock(nnx.Module):
    """x + silu(norm(conv(silu(norm(conv(x)))))), with a 1x1 convolution of x if widths differ."""

    def __init__(self, width: int, out: int, groups: int, *, rngs: nnx.Rngs, dtype: Any):
        self.conv1 = _conv(width, out, 3, rngs, dtype)
        self.norm1 = GroupNorm(out, groups=groups, eps=_EPS)
        self.conv2 = _conv(out, out, 3, rngs, dtype)
        self.norm2 = GroupNorm(out, groups=groups, eps=_EPS)
        self.shortcut = _conv(width, out, 1, rngs, dtype) if width != out else None

    def __call__(self, *inputs: Map) -> Map:
        """Return the block's output for the concatenation of `inputs` along channels."""
        h = nnx.silu(self.norm1(self.conv1(*inputs)))
        h = nnx.silu(self.norm2(self.conv2(h)))
        return h + (inputs[0] if self.shortcut is None else self.shortcut(*inputs))


class Level(nnx.Module):
    """The blocks of one width on the way down, and the 1x1 convolution to the next width."""

    def __init__(
        self, width: int, out: int, depth: int, groups: int, *, rngs: nnx.Rngs, dtype: Any
    ):
        self.blocks = nnx.List(
            [ResBlock(width, width, groups, rngs=rngs, dtype=dtype) for _ in range(depth)]
        )
        self.widen = _conv(width, out, 1, rngs, dtype)


class LevelUp(nnx.Module):
    """The 1x1 convolution back to a width, and blocks that read the way down's outputs too."""

    def __init__(
        self, width: int, out: int, depth: int, groups: int, *, rngs: nnx.Rngs, dtype: Any
    ):
        self.narrow = _conv(width, out, 1, rngs, dtype)
        self.blocks = nnx.List(
            [ResBlock(2 * out, out, groups, rngs=rngs, dtype=dtype) for _ in range(depth)]
        )


class UNet(nnx.Module):
    """Maps of `in_channels` -> maps of `out_channels` of the same height and width.

    Args:
      widths: channels of the levels.
      depth: residual blocks of a level, on the way down, in the middle, and on the way up, where
        each block also gets the output of its counterpart.
      groups: number of groups of each group norm.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int],
        depth: int,
        groups: int,
        *,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        same: Any = dict(rngs=rngs, dtype=dtype)
        pairs = list(itertools.pairwise(widths))
        self.conv_in = _conv(in_channels, widths[0], 3, **same)
        self.down = nnx.List([Level(i, o, depth, groups, **same) for i, o in pairs])
        self.middle = nnx.List(
            [ResBlock(widths[-1], widths[-1], groups, **same) for _ in range(depth)]
        )
        self.up = nnx.List([LevelUp(o, i, depth, groups, **same) for i, o in reversed(pairs)])
        self.conv_out = _conv(widths[0], out_channels, 1, **same)

    def __call__(self, x: Map) -> Map:
        x, skips = self.conv_in(x), []
        for level in self.down:
            for block in level.blocks:
                x = block(x)
                skips.append(x)
            x = level.widen(x)
        for block in self.middle:
            x = block(x)
        for level in self.up:
            x = level.narrow(x)
            for block in level.blocks:
                x = block(x, skips.pop())
        return self.conv_out(x)


def _conv(width: int, out: int, kernel_size: int, rngs: nnx.Rngs, dtype: Any) -> Conv:
    return Conv(width, out, kernel_size, bias_scale=1.0, key=rngs.params(), dtype=dtype)
