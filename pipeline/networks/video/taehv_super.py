"""TAEHV's larger decoder, "super" (github.com/madebyollin/taehv): 7x7 depthwise convolutions.

Its encoder is the small one's. The layers match the author's one by one, and contract and frames
are the small decoder's (pipeline.networks.video.taehv).
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx

from pipeline.networks.video.taehv.blocks import Clip, conv, frame_before
from pipeline.networks.video.taehv.encoder import Encoder as Encoder
from pipeline.nn.cache import CausalCache, starts_clip
from pipeline.nn.depthwise import DepthwiseConv
from pipeline.nn.remat import run
from pipeline.nn.space_to_channel import channel_to_space, channel_to_time


class Block(nnx.Module):
    """x + out(relu(wide(depthwise(x and the frame before)))), as in ConvNeXt without a norm."""

    def __init__(self, width: int, *, rngs: nnx.Rngs, dtype: Any):
        self.depthwise = DepthwiseConv(
            2 * width, 7, bias_scale=None, key=rngs.params(), dtype=dtype
        )
        self.wide = conv(2 * width, 4 * width, 1, rngs, dtype)
        self.out = conv(4 * width, width, 1, rngs, dtype, bias_scale=None)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        both = jnp.concatenate([x, frame_before(x, cache)], axis=-1)
        h = self.depthwise(both.reshape(-1, *both.shape[2:])).reshape(both.shape)
        return x + self.out(nnx.relu(self.wide(h)))


class Level(nnx.Module):
    """Blocks, a convolution whose channels are moved into pixels, and one to the frames that each
    frame becomes.
    """

    def __init__(
        self, width: int, out: int, frames: int, num_blocks: int, *, rngs: nnx.Rngs, dtype: Any
    ):
        self.frames = frames
        self.blocks = nnx.List([Block(width, rngs=rngs, dtype=dtype) for _ in range(num_blocks)])
        self.up = conv(width, 4 * out, 3, rngs, dtype)
        self.grow = conv(out, frames * out, 1, rngs, dtype, bias_scale=None)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        for block in self.blocks:
            x = block(x, cache)
        x = channel_to_space(nnx.relu(self.up(x)), 2)
        return channel_to_time(self.grow(x), self.frames, first=False)


class Decoder(nnx.Module):
    """Latents [b 1+t h w d] -> clips [b 1+4t 8h 8w c] around [-1, 1], with the default settings.

    The arguments are the small decoder's.
    """

    is_video, causal, last_layer = True, True, "conv_out.kernel"

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (512, 256, 128, 64),
        num_blocks: int = 3,
        in_time: Sequence[bool] = (False, True, True),
        patch: int = 1,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.spatial_factor, self.temporal_factor = 8 * patch, 2 ** sum(in_time)
        self.out_channels, self.patch = out_channels, patch
        self.conv_in = conv(in_channels, channels[0], 1, rngs, dtype, bias_scale=None)
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
        x = self.conv_in(z)
        for level in self.levels:
            x = run(level, x, cache, remat=remat)
        x = channel_to_space(self.conv_out(x).astype(jnp.float32), self.patch)
        x = x[:, self.temporal_factor - 1 :] if starts_clip(cache) else x
        return 2 * x - 1, {}
