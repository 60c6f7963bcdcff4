"""A small causal video codec that starts as a linear map: patch_resnet over space and time.

Four frames (the first frame alone) and cells of pixels become channels; causal 3-D convolutions
mix them. 1 + 4k frames give 1 + k latents, and chunks of any length give what the whole clip gives.
Not a published codec.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.networks.patch_resnet import spatial_factor
from pipeline.nn.cache import CausalCache, starts_clip
from pipeline.nn.conv3d import CausalConv3d
from pipeline.nn.remat import run
from pipeline.nn.space_to_channel import (
    channel_to_space,
    channel_to_time,
    space_to_channel,
    time_to_channel,
)

Clip = Float[Array, "b _ _ _ _"]
FRAMES = 4  # that become one latent
FRAME = (1, 3, 3)  # a kernel within single frames


class ResBlock(nnx.Module):
    """x + conv(silu(conv(x))), at first x; the second convolution is within frames."""

    def __init__(self, width: int, *, rngs: nnx.Rngs, dtype: Any):
        self.conv1 = CausalConv3d(width, width, 3, key=rngs.params(), dtype=dtype)
        self.conv2 = CausalConv3d(
            width, width, FRAME, init_scale=0.0, key=rngs.params(), dtype=dtype
        )

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        return x + self.conv2(nnx.silu(self.conv1(x, cache)))


class Stage(nnx.Module):
    """Residual blocks at one resolution."""

    def __init__(self, width: int, num_blocks: int, *, rngs: nnx.Rngs, dtype: Any):
        self.blocks = nnx.List([ResBlock(width, rngs=rngs, dtype=dtype) for _ in range(num_blocks)])

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        for block in self.blocks:
            x = block(x, cache)
        return x


class Encoder(nnx.Module):
    """Clips [b t h w c] in [-1, 1] of 1 + 4k frames -> features of 1 + k frames.

    The arguments are those of patch_resnet.Encoder.
    """

    is_video, temporal_factor, causal = True, FRAMES, True

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
        self.conv_in = _linear(FRAMES * in_channels * patch**2, channels[0], FRAME, rngs, dtype)
        self.stages = nnx.List([Stage(w, num_blocks, rngs=rngs, dtype=dtype) for w in channels])
        self.downs = nnx.List(
            [_linear(4 * i, o, 1, rngs, dtype) for i, o in itertools.pairwise(channels)]
        )
        self.conv_out = _linear(channels[-1], out_channels, 1, rngs, dtype)

    def __call__(
        self, x: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, Any]]:
        x = time_to_channel(x, FRAMES, first=starts_clip(cache))
        x = self.conv_in(space_to_channel(x, self.patch))
        x = run(self.stages[0], x, cache, remat=remat)
        for down, stage in zip(self.downs, self.stages[1:]):
            x = run(stage, down(space_to_channel(x, 2)), cache, remat=remat)
        return self.conv_out(x), {}


class Decoder(nnx.Module):
    """Latents [b t h w d] -> clips around [-1, 1]; the arguments are the encoder's."""

    is_video, temporal_factor, causal = True, FRAMES, True
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
        self.conv_in = _linear(in_channels, widths[0], FRAME, rngs, dtype)
        self.stages = nnx.List([Stage(w, num_blocks, rngs=rngs, dtype=dtype) for w in widths])
        self.ups = nnx.List(
            [_linear(i, 4 * o, 1, rngs, dtype) for i, o in itertools.pairwise(widths)]
        )
        self.conv_out = _linear(widths[-1], FRAMES * out_channels * patch**2, FRAME, rngs, dtype)

    def __call__(
        self, z: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, Any]]:
        x = run(self.stages[0], self.conv_in(z), cache, remat=remat)
        for up, stage in zip(self.ups, self.stages[1:]):
            x = run(stage, channel_to_space(up(x), 2), cache, remat=remat)
        x = channel_to_space(self.conv_out(x), self.patch).astype(jnp.float32)
        return channel_to_time(x, FRAMES, first=starts_clip(cache)), {}


def _linear(width: int, out: int, size: Any, rngs: nnx.Rngs, dtype: Any) -> CausalConv3d:
    # Keeps the variance: there is no activation that would halve it, and no norm to restore it.
    return CausalConv3d(width, out, size, init_scale=3**0.5, key=rngs.params(), dtype=dtype)
