"""The causal video codec of EasyAnimate (arXiv 2405.18991), which it calls MAGVIT.

Clips of 1 + 4k frames become 1 + k frames of an eighth of the height and width. Convolutions are
causal, with copies of the first frame in front, and group norms see one frame at a time; there is
no attention. The decoder doubles frames after a level's last convolution, by repeating them.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx

from pipeline.core.errors import ConfigError
from pipeline.networks.video.residual import (
    Blocks,
    Clip,
    ResBlock,
    ResidualDecoder,
    ResidualEncoder,
    Stage,
)
from pipeline.nn.cache import CausalCache, starts_clip
from pipeline.nn.conv3d import CausalConv3d
from pipeline.nn.norm import GroupNorm
from pipeline.nn.resample import double_frames, nearest_upsample


class Up(nnx.Module):
    """Repeats rows and columns, convolves, and with `in_time` repeats frames but the first one."""

    def __init__(self, width: int, in_time: bool, *, key: Any, dtype: Any):
        self.in_time = in_time
        self.conv = CausalConv3d(width, width, 3, key=key, dtype=dtype)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        y = self.conv(nearest_upsample(x, 2), cache)
        return double_frames(y, first=starts_clip(cache)) if self.in_time else y


class Layers:
    """The factory of one network's layers."""

    def __init__(self, groups: int, num_middle: int, *, rngs: nnx.Rngs, dtype: Any):
        self.groups, self.num_middle, self.rngs, self.dtype = groups, num_middle, rngs, dtype

    def norm(self, width: int) -> GroupNorm:
        return GroupNorm(width, groups=self.groups)

    def conv(self, width: int, out: int, size: int = 3, **settings: Any) -> CausalConv3d:
        key = self.rngs.params()
        return CausalConv3d(width, out, size, key=key, dtype=self.dtype, **settings)

    def block(self, width: int, out: int) -> ResBlock:
        shortcut = functools.partial(self.conv, size=1)
        return ResBlock(width, out, norm=self.norm, conv=self.conv, shortcut=shortcut)

    def middle(self, width: int) -> Blocks:
        return Blocks([self.block(width, width) for _ in range(self.num_middle)])

    def down(self, width: int, in_time: bool) -> CausalConv3d:
        return self.conv(width, width, stride=(2 if in_time else 1, 2, 2))

    def up(self, width: int, in_time: bool) -> Up:
        return Up(width, in_time, key=self.rngs.params(), dtype=self.dtype)


class Encoder(ResidualEncoder):
    """Clips [b 1+4t h w c] in [-1, 1] -> features [b 1+t h/8 w/8 d], with the default settings.

    Args:
      channels: a width for each resolution, from the clip's down; height and width are halved
        between them.
      in_time: whether each of these halvings halves time as well.
      num_blocks: residual blocks at each resolution; num_middle: those after the last one.
      groups: number of groups of each group norm.
    """

    causal = True

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 256, 512, 512),
        in_time: Sequence[bool] = (False, True, True),
        num_blocks: int = 2,
        num_middle: int = 2,
        groups: int = 32,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.spatial_factor, self.temporal_factor = _factors(channels, in_time)
        make = Layers(groups, num_middle, rngs=rngs, dtype=dtype)
        stages = _stages([channels[0], *channels], in_time, num_blocks, make.down)
        super().__init__(make, stages, in_channels, out_channels)


class Decoder(ResidualDecoder):
    """Latents [b 1+t h w d] -> clips [b 1+4t 8h 8w c] around [-1, 1], with the default settings.

    Args:
      channels, num_middle, groups: as the encoder's.
      in_time: whether each doubling doubles time as well, from the latents up.
      num_blocks: residual blocks at each resolution.
    """

    causal = True

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 256, 512, 512),
        in_time: Sequence[bool] = (False, True, True),
        num_blocks: int = 3,
        num_middle: int = 2,
        groups: int = 32,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.spatial_factor, self.temporal_factor = _factors(channels, in_time)
        make = Layers(groups, num_middle, rngs=rngs, dtype=dtype)
        widths = [channels[-1], *reversed(channels)]
        super().__init__(
            make, _stages(widths, in_time, num_blocks, make.up), in_channels, out_channels
        )


def _stages(
    widths: Sequence[int], in_time: Sequence[bool], num_blocks: int, resample: Any
) -> list[Stage]:
    pairs = itertools.zip_longest(itertools.pairwise(widths), in_time)
    return [
        Stage(
            width, out, num_blocks, None if time is None else functools.partial(resample, out, time)
        )
        for (width, out), time in pairs
    ]


def _factors(channels: Sequence[int], in_time: Sequence[bool]) -> tuple[int, int]:
    if len(channels) != len(in_time) + 1:
        raise ConfigError(
            f"in_time={list(in_time)} must say for each of the {len(channels) - 1} steps between "
            f"channels={list(channels)} whether it is one of time too"
        )
    return 2 ** len(in_time), 2 ** sum(in_time)
