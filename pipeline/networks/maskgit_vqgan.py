"""The encoder and decoder of MaskGIT's VQGAN (arXiv 2202.04200): VQGAN's without attention.

Resolutions are halved by averages over 2x2 pixels, and residual blocks have no biases. TiTok
decodes pixels with this decoder (pipeline.models.titok), whose released weights it fits.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.nn.conv import Conv, UpsamplingConv
from pipeline.nn.norm import GroupNorm
from pipeline.nn.norm_act_conv import norm_act_conv
from pipeline.nn.remat import run

Map = Float[Array, "b _ _ _"]


class ResBlock(nnx.Module):
    """x + h with h = conv(silu(norm(conv(silu(norm(x)))))); where the width changes, a 1x1
    convolution of h takes the place of x, as in the public code and its weights.
    """

    def __init__(self, width: int, out: int, groups: int, *, rngs: nnx.Rngs, dtype: Any):
        self.norm1 = GroupNorm(width, groups=groups)
        self.conv1 = _conv(width, out, 3, rngs, dtype, bias=None)
        self.norm2 = GroupNorm(out, groups=groups)
        self.conv2 = _conv(out, out, 3, rngs, dtype, bias=None)
        self.shortcut = _conv(out, out, 1, rngs, dtype, bias=None) if width != out else None

    def __call__(self, x: Map) -> Map:
        h = norm_act_conv(self.norm1, self.conv1, x)
        h = norm_act_conv(self.norm2, self.conv2, h)
        return h + (x if self.shortcut is None else self.shortcut(h))


class Level(nnx.Module):
    """Residual blocks at one resolution, then the change to the next one: "down", "up" or ""."""

    def __init__(
        self,
        width: int,
        out: int,
        num_blocks: int,
        groups: int,
        resample: str,
        *,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        pairs = itertools.pairwise([width] + [out] * num_blocks)
        self.blocks = nnx.List([ResBlock(i, o, groups, rngs=rngs, dtype=dtype) for i, o in pairs])
        self.upsample = (
            UpsamplingConv(out, out, bias_scale=1.0, key=rngs.params(), dtype=dtype)
            if resample == "up"
            else None
        )
        self.halves = resample == "down"

    def __call__(self, x: Map) -> Map:
        for block in self.blocks:
            x = block(x)
        if self.halves:
            b, h, w, c = x.shape
            return x.reshape(b, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4))
        return x if self.upsample is None else self.upsample(x)


class Encoder(nnx.Module):
    """Images [b h w c] in [-1, 1] -> features of 1 / spatial_factor of their height and width.

    Args:
      channels: widths from the image's resolution down; the resolution is halved between them.
      num_blocks: residual blocks at each resolution, and in the middle.
      groups: number of groups of each group norm.
    """

    is_video, temporal_factor, causal = False, 1, False

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 128, 256, 256, 512),
        num_blocks: int = 2,
        groups: int = 32,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.spatial_factor, self.out_channels = _spatial_factor(channels), out_channels
        self.conv_in = _conv(in_channels, channels[0], 3, rngs, dtype, bias=None)
        resamples = ["down"] * (len(channels) - 1) + [""]
        widths = [channels[0], *channels]
        self.levels = _levels(widths, resamples, num_blocks, groups, rngs, dtype)
        self.middle = _blocks(channels[-1], num_blocks, groups, rngs, dtype)
        self.norm_out = GroupNorm(channels[-1], groups=groups)
        self.conv_out = _conv(channels[-1], out_channels, 1, rngs, dtype)

    def __call__(self, x: Map, *, remat: bool = False) -> tuple[Map, dict[str, Any]]:
        x = self.conv_in(x)
        for part in (*self.levels, *self.middle):
            x = run(part, x, remat=remat)
        return norm_act_conv(self.norm_out, self.conv_out, x), {}


class Decoder(nnx.Module):
    """Latents [b h w d] -> images around [-1, 1], spatial_factor times as high and wide.

    The arguments are the encoder's, with `channels` in the same order.
    """

    is_video, temporal_factor, causal = False, 1, False
    last_layer = "conv_out.kernel"

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 128, 256, 256, 512),
        num_blocks: int = 2,
        groups: int = 32,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.spatial_factor, self.out_channels = _spatial_factor(channels), out_channels
        self.conv_in = _conv(in_channels, channels[-1], 3, rngs, dtype)
        self.middle = _blocks(channels[-1], num_blocks, groups, rngs, dtype)
        resamples = ["up"] * (len(channels) - 1) + [""]
        widths = [channels[-1], *reversed(channels)]
        self.levels = _levels(widths, resamples, num_blocks, groups, rngs, dtype)
        self.norm_out = GroupNorm(channels[0], groups=groups)
        self.conv_out = _conv(channels[0], out_channels, 3, rngs, dtype)

    def __call__(self, z: Map, *, remat: bool = False) -> tuple[Map, dict[str, Any]]:
        x = self.conv_in(z)
        for part in (*self.middle, *self.levels):
            x = run(part, x, remat=remat)
        return norm_act_conv(self.norm_out, self.conv_out, x).astype(jnp.float32), {}


def _levels(
    widths: Sequence[int],
    resamples: Sequence[str],
    num_blocks: int,
    groups: int,
    rngs: nnx.Rngs,
    dtype: Any,
) -> Any:
    return nnx.List(
        [
            Level(i, o, num_blocks, groups, resample, rngs=rngs, dtype=dtype)
            for (i, o), resample in zip(itertools.pairwise(widths), resamples)
        ]
    )


def _blocks(width: int, count: int, groups: int, rngs: nnx.Rngs, dtype: Any) -> Any:
    return nnx.List([ResBlock(width, width, groups, rngs=rngs, dtype=dtype) for _ in range(count)])


def _spatial_factor(channels: Sequence[int]) -> int:
    if not channels:
        raise ConfigError("channels of maskgit_vqgan must have 1 width or more")
    return 2 ** (len(channels) - 1)


def _conv(
    width: int,
    out: int,
    kernel_size: int,
    rngs: nnx.Rngs,
    dtype: Any,
    *,
    bias: float | None = 1.0,
) -> Conv:
    return Conv(width, out, kernel_size, bias_scale=bias, key=rngs.params(), dtype=dtype)
