"""A small causal video codec that starts as a linear map: patch_resnet over space and time.

Four frames (the first frame alone) and cells of pixels become channels; causal 3-D convolutions
mix them. 1 + 4k frames give 1 + k latents, and chunks of any length give what the whole clip gives.
The arguments are those of patch_resnet. Not a published codec.
"""

from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from pipeline.networks import patch_resnet
from pipeline.nn.cache import CausalCache, starts_clip
from pipeline.nn.conv3d import CausalConv3d
from pipeline.nn.space_to_channel import channel_to_time, space_to_channel, time_to_channel

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


def _linear(width: int, out: int, size: int, rngs: nnx.Rngs, dtype: Any) -> CausalConv3d:
    kernel = (1, size, size)
    return CausalConv3d(width, out, kernel, init_scale=3**0.5, key=rngs.params(), dtype=dtype)


class Encoder(patch_resnet.Encoder):
    """Clips [b t h w c] in [-1, 1] of 1 + 4k frames -> features of 1 + k frames."""

    is_video, temporal_factor, causal = True, FRAMES, True
    frames, block, linear = FRAMES, ResBlock, staticmethod(_linear)

    def __call__(
        self, x: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, Any]]:
        x = time_to_channel(x, FRAMES, first=starts_clip(cache))
        return self._coded(space_to_channel(x, self.patch), remat, cache), {}


class Decoder(patch_resnet.Decoder):
    """Latents [b t h w d] -> clips around [-1, 1]."""

    is_video, temporal_factor, causal = True, FRAMES, True
    frames, block, linear = FRAMES, ResBlock, staticmethod(_linear)

    def __call__(
        self, z: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, Any]]:
        x = self._decoded(z, remat, cache)
        return channel_to_time(x, FRAMES, first=starts_clip(cache)), {}
