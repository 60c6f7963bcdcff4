"""The decoder of TAEHV."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx

from pipeline.networks.video.taehv.blocks import Block, Clip, conv
from pipeline.nn.cache import CausalCache, starts_clip
from pipeline.nn.conv import UpsamplingConv
from pipeline.nn.remat import run
from pipeline.nn.space_to_channel import channel_to_space, channel_to_time


class Level(nnx.Module):
    """Blocks, then a doubling of height and width: a 1x1 convolution to the frames that each frame
    becomes, and a 3x3 one of repeated pixels.
    """

    def __init__(
        self, width: int, out: int, frames: int, num_blocks: int, *, rngs: nnx.Rngs, dtype: Any
    ):
        self.frames = frames
        self.blocks = nnx.List([Block(width, rngs=rngs, dtype=dtype) for _ in range(num_blocks)])
        self.grow = conv(width, frames * width, 1, rngs, dtype, bias_scale=None)
        self.up = UpsamplingConv(width, out, bias_scale=None, key=rngs.params(), dtype=dtype)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        for block in self.blocks:
            x = block(x, cache)
        # The author repeats pixels first, which a 1x1 convolution does not notice.
        return self.up(channel_to_time(self.grow(x), self.frames, first=False))


class Decoder(nnx.Module):
    """Latents [b 1+t h w d], softly clamped to -3 .. 3, -> clips [b 1+4t 8h 8w c] around [-1, 1],
    with the default settings.

    Args:
      channels: widths from the latents up, and of the last convolution's input.
      num_blocks: blocks at each resolution.
      in_time: whether each of the three doublings doubles time as well.
      patch: rows and columns of pixels that come from channels at the end.
    """

    is_video, causal, last_layer = True, True, "conv_out.kernel"

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (256, 128, 64, 64),
        num_blocks: int = 3,
        in_time: Sequence[bool] = (False, True, True),
        patch: int = 1,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.spatial_factor, self.temporal_factor = 8 * patch, 2 ** sum(in_time)
        self.out_channels, self.patch = out_channels, patch
        self.conv_in = conv(in_channels, channels[0], 3, rngs, dtype)
        self.levels = nnx.List(
            [
                Level(width, out, 1 + each, num_blocks, rngs=rngs, dtype=dtype)
                for width, out, each in zip(channels, channels[1:], in_time)
            ]
        )
        self.conv_out = conv(channels[3], out_channels * patch**2, 3, rngs, dtype)

    def __call__(
        self, z: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, Any]]:
        x = nnx.relu(self.conv_in(3 * jnp.tanh(z / 3)))
        for level in self.levels:
            x = run(level, x, cache, remat=remat)
        x = self.conv_out(nnx.relu(x)).astype(jnp.float32)
        x = channel_to_space(x, self.patch)
        x = x[:, self.temporal_factor - 1 :] if starts_clip(cache) else x
        return 2 * x - 1, {}
