"""The encoder and decoder of latent diffusion's autoencoder (arXiv 2112.10752), known as KL-f8.

Residual blocks at each resolution, halved between them, and attention over all pixels at the lowest
one. They match the authors' network layer by layer, so that their weights fit: `strata import
--from diffusers`. Weights are initialized as torch does by default.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.nn.attention import SpatialAttention
from pipeline.nn.conv import Conv, UpsamplingConv
from pipeline.nn.norm import GroupNorm
from pipeline.nn.norm_act_conv import norm_act_conv
from pipeline.nn.remat import run

Map = Float[Array, "b _ _ _"]


class ResBlock(nnx.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), with a 1x1 convolution of x where the width
    changes.
    """

    def __init__(self, width: int, out: int, groups: int, *, rngs: nnx.Rngs, dtype: Any):
        self.norm1 = GroupNorm(width, groups=groups)
        self.conv1 = _conv(width, out, 3, rngs, dtype)
        self.norm2 = GroupNorm(out, groups=groups)
        self.conv2 = _conv(out, out, 3, rngs, dtype)
        self.shortcut = _conv(width, out, 1, rngs, dtype) if width != out else None

    def __call__(self, x: Map) -> Map:
        h = norm_act_conv(self.norm1, self.conv1, x)
        h = norm_act_conv(self.norm2, self.conv2, h)
        return h + (x if self.shortcut is None else self.shortcut(x))


class Level(nnx.Module):
    """Residual blocks at one resolution, then a convolution to the next one: `resample` is "down",
    "up" or "". With `attention` each block is followed by attention over all pixels.
    """

    def __init__(
        self,
        width: int,
        out: int,
        num_blocks: int,
        groups: int,
        resample: str,
        attention: bool,
        *,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        widths = [width] + [out] * num_blocks
        pairs = itertools.pairwise(widths)
        self.blocks = nnx.List([ResBlock(i, o, groups, rngs=rngs, dtype=dtype) for i, o in pairs])
        self.attentions = nnx.List(
            [
                SpatialAttention(out, norm=GroupNorm(out, groups=groups), rngs=rngs, dtype=dtype)
                for _ in range(num_blocks if attention else 0)
            ]
        )
        if resample == "down":
            # Padded with zeros at the bottom and right only, as the authors do.
            self.resample = _conv(out, out, 3, rngs, dtype, stride=2)
        elif resample == "up":
            self.resample = UpsamplingConv(out, out, bias_scale=1.0, key=rngs.params(), dtype=dtype)
        else:
            self.resample = None

    def __call__(self, x: Map) -> Map:
        for number, block in enumerate(self.blocks):
            x = block(x)
            x = self.attentions[number](x) if self.attentions else x
        return x if self.resample is None else self.resample(x)


class Middle(nnx.Module):
    """A residual block, attention and a residual block, at the resolution of the latents."""

    def __init__(self, width: int, groups: int, attention: bool, *, rngs: nnx.Rngs, dtype: Any):
        self.block1 = ResBlock(width, width, groups, rngs=rngs, dtype=dtype)
        norm = GroupNorm(width, groups=groups)
        self.attention = (
            SpatialAttention(width, norm=norm, rngs=rngs, dtype=dtype) if attention else None
        )
        self.block2 = ResBlock(width, width, groups, rngs=rngs, dtype=dtype)

    def __call__(self, x: Map) -> Map:
        x = self.block1(x)
        return self.block2(x if self.attention is None else self.attention(x))


class Encoder(nnx.Module):
    """Images [b h w c] in [-1, 1] -> features of 1 / spatial_factor of their height and width.

    Args:
      channels: widths from the image's resolution down; the resolution is halved between them.
      num_blocks: residual blocks at each resolution.
      attention: whether the middle attends over all pixels.
      attention_levels: resolutions, counted from the image's down, at which all blocks do too.
      groups: number of groups of each group norm.
    """

    is_video, temporal_factor, causal = False, 1, False

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 256, 512, 512),
        num_blocks: int = 2,
        attention: bool = True,
        attention_levels: Sequence[int] = (),
        groups: int = 32,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.spatial_factor = _spatial_factor(channels, attention_levels)
        self.out_channels = out_channels
        self.conv_in = _conv(in_channels, channels[0], 3, rngs, dtype)
        resamples = ["down"] * (len(channels) - 1) + [""]
        self.levels = _levels(
            [channels[0], *channels],
            resamples,
            [level in attention_levels for level in range(len(channels))],
            num_blocks,
            groups,
            rngs,
            dtype,
        )
        self.middle = Middle(channels[-1], groups, attention, rngs=rngs, dtype=dtype)
        self.norm_out = GroupNorm(channels[-1], groups=groups)
        self.conv_out = _conv(channels[-1], out_channels, 3, rngs, dtype)

    def __call__(self, x: Map, *, remat: bool = False) -> tuple[Map, dict[str, Any]]:
        x = self.conv_in(x)
        for level in self.levels:
            x = run(level, x, remat=remat)
        return norm_act_conv(self.norm_out, self.conv_out, run(self.middle, x, remat=remat)), {}


class Decoder(nnx.Module):
    """Latents [b h w d] -> images around [-1, 1], spatial_factor times as high and wide.

    The arguments are the same as the encoder's. `channels` has the same order, from the image's
    resolution down; the authors' decoder has one block more at each resolution than their encoder.
    """

    is_video, temporal_factor, causal = False, 1, False
    last_layer = "conv_out.kernel"

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 256, 512, 512),
        num_blocks: int = 3,
        attention: bool = True,
        attention_levels: Sequence[int] = (),
        groups: int = 32,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.spatial_factor = _spatial_factor(channels, attention_levels)
        self.out_channels = out_channels
        self.conv_in = _conv(in_channels, channels[-1], 3, rngs, dtype)
        self.middle = Middle(channels[-1], groups, attention, rngs=rngs, dtype=dtype)
        resamples = ["up"] * (len(channels) - 1) + [""]
        self.levels = _levels(
            [channels[-1], *reversed(channels)],
            resamples,
            [level in attention_levels for level in reversed(range(len(channels)))],
            num_blocks,
            groups,
            rngs,
            dtype,
        )
        self.norm_out = GroupNorm(channels[0], groups=groups)
        self.conv_out = _conv(channels[0], out_channels, 3, rngs, dtype)

    def __call__(self, z: Map, *, remat: bool = False) -> tuple[Map, dict[str, Any]]:
        x = run(self.middle, self.conv_in(z), remat=remat)
        for level in self.levels:
            x = run(level, x, remat=remat)
        return norm_act_conv(self.norm_out, self.conv_out, x).astype(jnp.float32), {}


def _levels(
    widths: Sequence[int],
    resamples: Sequence[str],
    attention: Sequence[bool],
    num_blocks: int,
    groups: int,
    rngs: nnx.Rngs,
    dtype: Any,
) -> Any:
    return nnx.List(
        [
            Level(i, o, num_blocks, groups, resample, attends, rngs=rngs, dtype=dtype)
            for (i, o), resample, attends in zip(itertools.pairwise(widths), resamples, attention)
        ]
    )


def _spatial_factor(channels: Sequence[int], attention_levels: Sequence[int]) -> int:
    if not channels:
        raise ConfigError("channels of ldm.Encoder and ldm.Decoder must have 1 width or more")
    if any(not 0 <= level < len(channels) for level in attention_levels):
        raise ConfigError(
            f"attention_levels={tuple(attention_levels)} of ldm.Encoder and ldm.Decoder must be "
            f"from 0, the image's resolution, to {len(channels) - 1}"
        )
    return 2 ** (len(channels) - 1)


def _conv(
    width: int, out: int, kernel_size: int, rngs: nnx.Rngs, dtype: Any, stride: int = 1
) -> Conv:
    return Conv(
        width, out, kernel_size, stride=stride, bias_scale=1.0, key=rngs.params(), dtype=dtype
    )
