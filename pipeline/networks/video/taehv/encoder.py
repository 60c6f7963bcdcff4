"""The encoder of TAEHV."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx

from pipeline.networks.video.taehv.blocks import Block, Clip, conv
from pipeline.nn.remat import run
from pipeline.nn.space_to_channel import space_to_channel, time_to_channel


class Level(nnx.Module):
    """Groups of frames to one by a 1x1 convolution, a halving of height and width, and blocks."""

    def __init__(self, width: int, frames: int, num_blocks: int, *, rngs: nnx.Rngs, dtype: Any):
        self.frames = frames
        self.pool = conv(frames * width, width, 1, rngs, dtype, bias_scale=None)
        self.down = conv(width, width, 3, rngs, dtype, stride=2, padding=(1, 1), bias_scale=None)
        self.blocks = nnx.List([Block(width, rngs=rngs, dtype=dtype) for _ in range(num_blocks)])

    def __call__(self, x: Clip) -> Clip:
        x = self.down(self.pool(time_to_channel(x, self.frames, first=False)))
        for block in self.blocks:
            x = block(x)
        return x


class Encoder(nnx.Module):
    """Clips [b 1+4t h w c] in [-1, 1] -> features [b 1+t h/8 w/8 d], with the default settings.

    Args:
      width, num_blocks: channels throughout, and blocks at each resolution.
      in_time: whether each of the three halvings halves time as well.
      patch: rows and columns of pixels that are moved into channels first.
    """

    is_video, causal = True, False

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        num_blocks: int = 3,
        in_time: Sequence[bool] = (True, True, False),
        patch: int = 1,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.spatial_factor, self.temporal_factor = 8 * patch, 2 ** sum(in_time)
        self.out_channels, self.patch = out_channels, patch
        self.conv_in = conv(in_channels * patch**2, width, 3, rngs, dtype)
        self.levels = nnx.List(
            [Level(width, 1 + each, num_blocks, rngs=rngs, dtype=dtype) for each in in_time]
        )
        self.conv_out = conv(width, out_channels, 3, rngs, dtype)

    def __call__(self, x: Clip, *, remat: bool = False) -> tuple[Clip, dict[str, Any]]:
        missing = -x.shape[1] % self.temporal_factor
        x = jnp.concatenate([x, jnp.repeat(x[:, -1:], missing, axis=1)], axis=1)
        x = nnx.relu(self.conv_in(space_to_channel((x + 1) / 2, self.patch)))
        for level in self.levels:
            x = run(level, x, remat=remat)
        return self.conv_out(x), {}
