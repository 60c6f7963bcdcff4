"""The encoder and decoder of HunyuanVideo (arXiv 2412.03603), which compress 4 x 8 x 8.

Convolutions are causal, and repeat the first frame in front of a clip and the pixels at the edges
of frames; attention in the middle is over all pixels of all frames up to each. Group norms, though,
see all frames of a clip: so neither network is causal, the latents of a clip's first frame are not
those of an image, and clips are coded whole (docs/codecs.md has what chunks change).

Clips of 1 + 4k frames become 1 + k frames of an eighth of the height and width. All three steps
between the four resolutions are of space, and the ones at the lower two also of time.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx

from pipeline.core.errors import ConfigError
from pipeline.networks.video.residual import Clip, ResBlock, ResidualDecoder, ResidualEncoder, Stage
from pipeline.nn.cache import CausalCache, starts_clip
from pipeline.nn.clips.causal_attention import CausalAttention
from pipeline.nn.conv3d import CausalConv3d
from pipeline.nn.norm import GroupNorm
from pipeline.nn.resample import double_frames, nearest_upsample

_IN_TIME = (False, True, True)


class Middle(nnx.Module):
    """A residual block, attention or none, and a residual block."""

    def __init__(self, block1: nnx.Module, attention: nnx.Module | None, block2: nnx.Module):
        self.block1, self.attention, self.block2 = block1, attention, block2

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        x = self.block1(x, cache)
        x = x if self.attention is None else self.attention(x, cache)
        return self.block2(x, cache)


class Up(nnx.Module):
    """Repeats rows and columns, with `in_time` frames but the first one too, then convolves."""

    def __init__(self, conv: CausalConv3d, in_time: bool):
        self.conv, self.in_time = conv, in_time

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        x = double_frames(x, first=starts_clip(cache)) if self.in_time else x
        return self.conv(nearest_upsample(x, 2), cache)


class Layers:
    """The factory of one network's layers."""

    def __init__(self, groups: int, attention: bool, *, rngs: nnx.Rngs, dtype: Any):
        self.groups, self.with_attention = groups, attention
        self.rngs, self.dtype = rngs, dtype

    def norm(self, width: int) -> Any:
        return GroupNorm(width, groups=self.groups, per_frame=False)

    def conv(self, width: int, out: int, size: int = 3, **settings: Any) -> CausalConv3d:
        same: Any = dict(space_padding="replicate", key=self.rngs.params(), dtype=self.dtype)
        return CausalConv3d(width, out, size, **same, **settings)

    def block(self, width: int, out: int) -> ResBlock:
        shortcut = functools.partial(self.conv, size=1)
        return ResBlock(width, out, norm=self.norm, conv=self.conv, shortcut=shortcut)

    def middle(self, width: int) -> Middle:
        attention = None
        if self.with_attention:
            same: Any = dict(norm=self.norm(width), rngs=self.rngs, dtype=self.dtype)
            attention = CausalAttention(width, **same)
        return Middle(self.block(width, width), attention, self.block(width, width))

    def down(self, width: int, in_time: bool) -> CausalConv3d:
        return self.conv(width, width, stride=(2 if in_time else 1, 2, 2), space_width=(1, 1))

    def up(self, width: int, in_time: bool) -> Up:
        return Up(self.conv(width, width), in_time)


class Encoder(ResidualEncoder):
    """Clips [b 1+4t h w c] in [-1, 1] -> features [b 1+t h/8 w/8 d].

    Args:
      channels: four widths, from the clip's resolution down.
      num_blocks: residual blocks at each resolution.
      groups: number of groups of each group norm.
      attention: whether there is attention in the middle.
    """

    spatial_factor, temporal_factor, causal = 8, 4, False

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 256, 512, 512),
        num_blocks: int = 2,
        groups: int = 32,
        attention: bool = True,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        make = Layers(groups, attention, rngs=rngs, dtype=dtype)
        stages = _stages([channels[0], *channels], num_blocks, make.down)
        super().__init__(make, stages, in_channels, out_channels)


class Decoder(ResidualDecoder):
    """Latents [b 1+t h w d] -> clips [b 1+4t 8h 8w c] around [-1, 1].

    The arguments are the encoder's; the authors' decoder has one block more at each resolution.
    """

    spatial_factor, temporal_factor, causal = 8, 4, False

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 256, 512, 512),
        num_blocks: int = 3,
        groups: int = 32,
        attention: bool = True,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        make = Layers(groups, attention, rngs=rngs, dtype=dtype)
        stages = _stages([channels[-1], *reversed(channels)], num_blocks, make.up)
        super().__init__(make, stages, in_channels, out_channels)


def _stages(widths: Sequence[int], num_blocks: int, resample: Any) -> list[Stage]:
    if len(widths) != 5:
        raise ConfigError(
            f"channels of video.hunyuan must have 4 widths, not {len(widths) - 1}: a latent stands "
            "for 8x8 pixels"
        )
    return [
        Stage(
            width, out, num_blocks, None if time is None else functools.partial(resample, out, time)
        )
        for (width, out), time in zip(itertools.pairwise(widths), (*_IN_TIME, None))
    ]
