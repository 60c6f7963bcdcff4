"""The decoder of LiteVAE: latent diffusion's with self-modulated convolutions in place of norms."""

import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.networks.lite_vae.self_modulated import SelfModulatedConv
from pipeline.nn.conv import Conv, UpsamplingConv
from pipeline.nn.remat import run

Map = Float[Array, "b _ _ _"]


class ResBlock(nnx.Module):
    """x + silu(conv(silu(conv(x)))), with a plain 1x1 convolution of x where the width changes."""

    def __init__(self, width: int, out: int, *, rngs: nnx.Rngs, dtype: Any):
        self.conv1 = _modulated(width, out, rngs, dtype)
        self.conv2 = _modulated(out, out, rngs, dtype)
        self.shortcut = _conv(width, out, 1, rngs, dtype) if width != out else None

    def __call__(self, x: Map) -> Map:
        h = nnx.silu(self.conv2(nnx.silu(self.conv1(x))))
        return h + (x if self.shortcut is None else self.shortcut(x))


class Level(nnx.Module):
    """Residual blocks at one resolution, and with `doubled` a convolution to twice of it."""

    def __init__(self, widths: Sequence[int], doubled: bool, *, rngs: nnx.Rngs, dtype: Any):
        self.blocks = nnx.List(
            [ResBlock(i, o, rngs=rngs, dtype=dtype) for i, o in itertools.pairwise(widths)]
        )
        self.resample = (
            UpsamplingConv(widths[-1], widths[-1], bias_scale=1.0, key=rngs.params(), dtype=dtype)
            if doubled
            else None
        )

    def __call__(self, x: Map) -> Map:
        for block in self.blocks:
            x = block(x)
        return x if self.resample is None else self.resample(x)


class Decoder(nnx.Module):
    """Latents [b h w d] -> images around [-1, 1], spatial_factor times as high and wide.

    Args:
      channels: widths from the image's resolution down.
      num_blocks: residual blocks of each resolution, and of the middle.
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
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        if not channels:
            raise ConfigError("channels of lite_vae.Decoder must have 1 width or more")
        self.spatial_factor, self.out_channels = 2 ** (len(channels) - 1), out_channels
        lowest, same = channels[-1], dict[str, Any](rngs=rngs, dtype=dtype)
        self.conv_in = _conv(in_channels, lowest, 3, **same)
        self.middle = Level([lowest] * (num_blocks + 1), False, **same)
        pairs = itertools.pairwise([lowest, *reversed(channels)])
        self.levels = nnx.List(
            [
                Level([width] + [out] * num_blocks, number < len(channels) - 1, **same)
                for number, (width, out) in enumerate(pairs)
            ]
        )
        self.modulated_out = _modulated(channels[0], channels[0], **same)
        self.conv_out = _conv(channels[0], out_channels, 3, **same)

    def __call__(self, z: Map, *, remat: bool = False) -> tuple[Map, dict[str, Any]]:
        x = run(self.middle, self.conv_in(z), remat=remat)
        for level in self.levels:
            x = run(level, x, remat=remat)
        return self.conv_out(nnx.silu(self.modulated_out(x))).astype(jnp.float32), {}


def _conv(width: int, out: int, kernel_size: int, rngs: nnx.Rngs, dtype: Any) -> Conv:
    return Conv(width, out, kernel_size, bias_scale=1.0, key=rngs.params(), dtype=dtype)


def _modulated(width: int, out: int, rngs: nnx.Rngs, dtype: Any) -> SelfModulatedConv:
    return SelfModulatedConv(width, out, 3, bias_scale=1.0, key=rngs.params(), dtype=dtype)
