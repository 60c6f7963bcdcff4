"""The encoder and decoder of Allegro (arXiv 2410.15458): image codecs, with blocks over time.

Each residual block within frames is followed by one over time, whose norms see all frames: so clips
are coded in windows of 24 frames, which overlap by 8 and are blended there, as the authors code
them. Neither network is causal.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from pipeline.core.errors import ConfigError
from pipeline.core.windows import Windows
from pipeline.networks.video.residual import Clip
from pipeline.nn.attention import SpatialAttention
from pipeline.nn.conv import Conv, UpsamplingConv
from pipeline.nn.conv3d import CausalConv3d, convolve_3d
from pipeline.nn.norm import GroupNorm
from pipeline.nn.norm_act_conv import norm_act_conv
from pipeline.nn.remat import run

WINDOWS = Windows(size=24, stride=16, factor=4)
_TIME_EPS = 1e-5  # of the norms over time; those within frames have 1e-6


class TimeConv(CausalConv3d):
    """A 3-D convolution without padding in time; two frames are convolved with stride 2."""

    def __init__(self, width: int, out: int, taps: int, size: int, **settings: Any):
        super().__init__(width, out, (taps, size, size), **settings)

    def __call__(self, x: Clip, cache: None = None) -> Clip:
        del cache
        kernel, bias = (each[...].astype(self.dtype) for each in (self.kernel, self.bias))
        stride = 2 if kernel.shape[0] == 2 else 1
        return convolve_3d(x.astype(self.dtype), kernel, (stride, 1, 1), bias)


class TimeBlock(nnx.Module):
    """x + four of conv(silu(norm)), with norms over all frames: `change` is "", or "halve" or
    "double" for a first convolution that changes the number of frames. These two see 3x3 pixels.

    Before each convolution of three frames, the first and the last one are repeated, and so count
    twice in its norm.
    """

    def __init__(self, width: int, groups: int, change: str = "", *, rngs: nnx.Rngs, dtype: Any):
        size, self.change = 3 if change else 1, change
        first = {"": (width, 3), "halve": (width, 2), "double": (2 * width, 1)}[change]
        outs = [first, *[(width, 3)] * 3]
        norm = functools.partial(GroupNorm, groups=groups, eps=_TIME_EPS, per_frame=False)
        self.norms = nnx.List([norm(width) for _ in outs])
        self.convs = nnx.List(
            [TimeConv(width, out, taps, size, key=rngs.params(), dtype=dtype) for out, taps in outs]
        )

    def __call__(self, x: Clip) -> Clip:
        same = x
        if self.change == "halve":
            same = x[:, ::2]
        elif self.change == "double":
            same = jnp.repeat(x, 2, axis=1)
        for number, (norm, conv) in enumerate(zip(self.norms, self.convs)):
            if number or not self.change:
                x = jnp.concatenate([x[:, :1], x, x[:, -1:]], axis=1)
            x = norm_act_conv(norm, conv, x)
            if number == 0 and self.change == "double":
                b, t, h, w, c = x.shape
                pairs = x.reshape(b, t, h, w, 2, c // 2).transpose(0, 1, 4, 2, 3, 5)
                x = pairs.reshape(b, 2 * t, h, w, c // 2)
        return same + x


class Block(nnx.Module):
    """A residual block within frames, and then one over time."""

    def __init__(self, width: int, out: int, groups: int, *, rngs: nnx.Rngs, dtype: Any):
        same: Any = dict(rngs=rngs, dtype=dtype)
        self.norm1, self.conv1 = GroupNorm(width, groups=groups), _conv(width, out, 3, **same)
        self.norm2, self.conv2 = GroupNorm(out, groups=groups), _conv(out, out, 3, **same)
        self.shortcut = _conv(width, out, 1, **same) if width != out else None
        self.time = TimeBlock(out, groups, **same)

    def __call__(self, x: Clip) -> Clip:
        h = norm_act_conv(self.norm1, self.conv1, x)
        h = norm_act_conv(self.norm2, self.conv2, h)
        return self.time(h + (x if self.shortcut is None else self.shortcut(x)))


class Level(nnx.Module):
    """Blocks of one resolution, then a change of time, and one of height and width, or none."""

    def __init__(self, blocks: Sequence[Block], time: TimeBlock | None, space: Conv | None):
        self.blocks, self.time, self.space = nnx.List(blocks), time, space

    def __call__(self, x: Clip) -> Clip:
        for block in self.blocks:
            x = block(x)
        x = x if self.time is None else self.time(x)
        return x if self.space is None else self.space(x)


class Middle(nnx.Module):
    """A block, attention within frames, and a block."""

    def __init__(self, width: int, groups: int, *, rngs: nnx.Rngs, dtype: Any):
        same: Any = dict(rngs=rngs, dtype=dtype)
        self.block1 = Block(width, width, groups, **same)
        self.attention = SpatialAttention(width, norm=GroupNorm(width, groups=groups), **same)
        self.block2 = Block(width, width, groups, **same)

    def __call__(self, x: Clip) -> Clip:
        return self.block2(self.attention(self.block1(x)))


class _Network(nnx.Module):
    """What both networks share: ends, levels and a middle, of which one comes first."""

    is_video, causal, windows = True, False, WINDOWS

    def __init__(
        self,
        widths: Sequence[int],
        in_channels: int,
        out_channels: int,
        in_time: Sequence[bool],
        num_blocks: int,
        groups: int,
        way: str,
        *,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        if len(in_time) != len(widths) - 2 or sum(in_time) != 2:
            raise ConfigError(
                f"Allegro: in_time={tuple(in_time)} must have one value between each two of "
                f"{len(widths) - 1} channels, two of them true: its windows are of 24 frames"
            )
        self.out_channels, self.way = out_channels, way
        self.spatial_factor, self.temporal_factor = 2 ** len(in_time), 2 ** sum(in_time)
        same: Any = dict(rngs=rngs, dtype=dtype)
        self.conv_in = _conv(in_channels, widths[0], 3, **same)
        self.time_in = _time_end(widths[0], **same)

        def level(width: int, out: int, time: bool | None) -> Level:
            pairs = itertools.pairwise([width] + [out] * num_blocks)
            blocks = [Block(i, o, groups, **same) for i, o in pairs]
            change = "halve" if way == "down" else "double"
            changes = TimeBlock(out, groups, change, **same) if time else None
            return Level(blocks, changes, None if time is None else _space(way, out, **same))

        pairs = itertools.pairwise(widths)
        self.levels = nnx.List([level(i, o, t) for (i, o), t in zip(pairs, [*in_time, None])])
        self.middle = Middle(widths[-1] if way == "down" else widths[0], groups, **same)
        self.norm_out = GroupNorm(widths[-1], groups=groups)
        self.time_out = _time_end(widths[-1], **same)
        self.conv_out = _conv(widths[-1], out_channels, 3, **same)

    def __call__(self, x: Clip, *, remat: bool = False) -> tuple[Clip, dict[str, Any]]:
        x = self.conv_in(x)
        x = x + self.time_in(_between_zeros(x))
        middle_last = self.way == "down"
        parts = (*self.levels, self.middle) if middle_last else (self.middle, *self.levels)
        for part in parts:
            x = run(part, x, remat=remat)
        x = jax.nn.silu(self.norm_out(x))
        y = self.conv_out(x + self.time_out(_between_zeros(x)))
        return (y if middle_last else y.astype(jnp.float32)), {}


class Encoder(_Network):
    """Clips [b 4t h w c] in [-1, 1] -> features [b t h/8 w/8 d], with the default settings.

    Args:
      channels: a width for each resolution, from the clip's down; height and width are halved
        between them.
      in_time: whether each of these halvings halves time as well; two do.
      num_blocks: residual blocks at each resolution.
      groups: number of groups of each group norm.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 256, 512, 512),
        in_time: Sequence[bool] = (True, True, False),
        num_blocks: int = 2,
        groups: int = 32,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        widths = [channels[0], *channels]
        sizes = (in_channels, out_channels, in_time, num_blocks, groups)
        super().__init__(widths, *sizes, "down", rngs=rngs, dtype=dtype)


class Decoder(_Network):
    """Latents [b t h w d] -> clips [b 4t 8h 8w c] around [-1, 1], with the default settings.

    Args:
      channels, groups: as the encoder's.
      in_time: whether each doubling doubles time as well, from the latents up.
      num_blocks: residual blocks at each resolution.
    """

    last_layer = "conv_out.kernel"

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 256, 512, 512),
        in_time: Sequence[bool] = (False, True, True),
        num_blocks: int = 3,
        groups: int = 32,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        widths = [channels[-1], *reversed(channels)]
        sizes = (in_channels, out_channels, in_time, num_blocks, groups)
        super().__init__(widths, *sizes, "up", rngs=rngs, dtype=dtype)


def _conv(width: int, out: int, size: int, *, rngs: nnx.Rngs, dtype: Any, stride: int = 1) -> Conv:
    settings: Any = dict(stride=stride, bias_scale=1.0, key=rngs.params(), dtype=dtype)
    return Conv(width, out, size, **settings)


def _space(way: str, width: int, *, rngs: nnx.Rngs, dtype: Any) -> Conv:
    if way == "down":
        return _conv(width, width, 3, rngs=rngs, dtype=dtype, stride=2)
    return UpsamplingConv(width, width, bias_scale=1.0, key=rngs.params(), dtype=dtype)


def _time_end(width: int, *, rngs: nnx.Rngs, dtype: Any) -> TimeConv:
    return TimeConv(width, width, 3, 1, key=rngs.params(), dtype=dtype)


def _between_zeros(x: Clip) -> Clip:
    zeros = jnp.zeros_like(x[:, :1])
    return jnp.concatenate([zeros, x, zeros], axis=1)
