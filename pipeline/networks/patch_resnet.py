"""A small encoder and decoder that start as a linear map, and so learn within minutes.

Cells of pixels become channels, instead of strided convolutions, and nothing but residual blocks is
nonlinear; the last convolution of each starts at zero, as in SkipInit and Fixup (arXiv 1901.09321).
The first thing that they learn is close to what principal components do for patches; the blocks
then add what is not linear. There is no normalization: the brightness of a pixel is not lost on the
way. Not a published codec.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.nn.conv import Conv
from pipeline.nn.remat import run
from pipeline.nn.space_to_channel import channel_to_space, space_to_channel

Map = Float[Array, "b _ _ _"]


class ResBlock(nnx.Module):
    """x + conv(silu(conv(x))), at first x."""

    def __init__(self, width: int, *, rngs: nnx.Rngs, dtype: Any):
        self.conv1 = Conv(width, width, 3, key=rngs.params(), dtype=dtype)
        self.conv2 = Conv(width, width, 3, init_scale=0.0, key=rngs.params(), dtype=dtype)

    def __call__(self, x: Map) -> Map:
        return x + self.conv2(nnx.silu(self.conv1(x)))


class Stage(nnx.Module):
    """Residual blocks at one resolution; further arguments of a call go to each block."""

    def __init__(self, block: Any, width: int, num_blocks: int, *, rngs: nnx.Rngs, dtype: Any):
        self.blocks = nnx.List([block(width, rngs=rngs, dtype=dtype) for _ in range(num_blocks)])

    def __call__(self, x: Any, *context: Any) -> Any:
        for block in self.blocks:
            x = block(x, *context)
        return x


def _linear(width: int, out: int, size: int, rngs: nnx.Rngs, dtype: Any) -> Conv:
    # Keeps the variance: there is no activation that would halve it, and no norm to restore it.
    return Conv(width, out, size, init_scale=3**0.5, key=rngs.params(), dtype=dtype)


class Encoder(nnx.Module):
    """Images [b h w c] in [-1, 1] -> features of 1 / spatial_factor of their height and width.

    Args:
      patch: side of the cells of pixels that the first convolution reads.
      channels: widths, from the resolution of the cells down; it is halved between them.
      num_blocks: residual blocks at each resolution.

    Attributes:
      spatial_factor: patch * 2**(len(channels) - 1).
    """

    is_video, temporal_factor, causal = False, 1, False
    frames = 1  # in a cell
    block, linear = ResBlock, staticmethod(_linear)

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        patch: int = 4,
        channels: Sequence[int] = (48, 96),
        num_blocks: int = 1,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.patch, self.spatial_factor = patch, spatial_factor(patch, channels)
        self.out_channels = out_channels
        cell = self.frames * in_channels * patch**2
        self.conv_in = self.linear(cell, channels[0], 3, rngs, dtype)
        self.stages = nnx.List(
            [Stage(self.block, w, num_blocks, rngs=rngs, dtype=dtype) for w in channels]
        )
        self.downs = nnx.List(
            [self.linear(4 * i, o, 1, rngs, dtype) for i, o in itertools.pairwise(channels)]
        )
        self.conv_out = self.linear(channels[-1], out_channels, 1, rngs, dtype)

    def __call__(self, x: Map, *, remat: bool = False) -> tuple[Map, dict[str, Any]]:
        return self._coded(space_to_channel(x, self.patch), remat), {}

    def _coded(self, x: Any, remat: bool, *context: Any) -> Any:
        """Return the features of cells [b *t h w c]; `context` goes to the blocks."""
        x = run(self.stages[0], self.conv_in(x), *context, remat=remat)
        for down, stage in zip(self.downs, self.stages[1:]):
            x = run(stage, down(space_to_channel(x, 2)), *context, remat=remat)
        return self.conv_out(x)


class Decoder(nnx.Module):
    """Latents [b h w d] -> images around [-1, 1]; the arguments are the encoder's."""

    is_video, temporal_factor, causal = False, 1, False
    frames = 1  # in a cell
    block, linear = ResBlock, staticmethod(_linear)
    last_layer = "conv_out.kernel"

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        patch: int = 4,
        channels: Sequence[int] = (48, 96),
        num_blocks: int = 1,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.patch, self.spatial_factor = patch, spatial_factor(patch, channels)
        self.out_channels = out_channels
        widths = list(reversed(channels))
        self.conv_in = self.linear(in_channels, widths[0], 3, rngs, dtype)
        self.stages = nnx.List(
            [Stage(self.block, w, num_blocks, rngs=rngs, dtype=dtype) for w in widths]
        )
        self.ups = nnx.List(
            [self.linear(i, 4 * o, 1, rngs, dtype) for i, o in itertools.pairwise(widths)]
        )
        cell = self.frames * out_channels * patch**2
        self.conv_out = self.linear(widths[-1], cell, 3, rngs, dtype)

    def __call__(self, z: Map, *, remat: bool = False) -> tuple[Map, dict[str, Any]]:
        return self._decoded(z, remat), {}

    def _decoded(self, z: Any, remat: bool, *context: Any) -> Any:
        """Return the pixels of latents [b *t h w d]; `context` goes to the blocks."""
        x = run(self.stages[0], self.conv_in(z), *context, remat=remat)
        for up, stage in zip(self.ups, self.stages[1:]):
            x = run(stage, channel_to_space(up(x), 2), *context, remat=remat)
        return channel_to_space(self.conv_out(x), self.patch).astype(jnp.float32)


def spatial_factor(patch: int, channels: Sequence[int]) -> int:
    """Return how many pixels a latent has along each side.

    Raises:
      ConfigError: no pixels in a patch, or no widths.
    """
    if patch < 1 or not channels:
        raise ConfigError(
            f"patch_resnet: patch={patch} and channels={list(channels)}: a patch has at least one "
            "pixel, and there is at least one width"
        )
    return patch * 2 ** (len(channels) - 1)
