"""The encoder and decoder of CogVideoX (arXiv 2408.06072), which compress 4 x 8 x 8.

Convolutions are causal, with copies of the first frame in front, but group norms see all frames
that the network is given, and time is halved and doubled with the first frame apart if their number
is odd, and without such a frame if it is even. The authors code clips in windows of 8 frames, or of
2 latents, whose remainder joins the first one: these are part of the codec (`windows`,
pipeline.core.windows). So a clip has 1 + 8k frames, and its first window 9.

Each norm of the decoder is multiplied by a convolution of the latents and another one is added
(spatially conditioned normalization, arXiv 2209.09002). Both are of single pixels, and so computed
before the latents are enlarged to the norm's resolution, which gives the same numbers.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx

from pipeline.core.errors import ConfigError
from pipeline.core.windows import Windows
from pipeline.networks.video.residual import Blocks, Clip, ResBlock, ResidualEncoder, Stage
from pipeline.nn.cache import CausalCache
from pipeline.nn.conv import Conv, UpsamplingConv
from pipeline.nn.conv3d import CausalConv3d
from pipeline.nn.norm import GroupNorm

WINDOWS = Windows(size=8, stride=8, factor=4, first_apart=True)
# Steps between resolutions, from the side where the network begins, that are of time too.
_IN_TIME = (True, True, False)


def halved(x: Clip) -> Clip:
    """Return the means of pairs of frames, and of an odd number the first frame as it is."""
    b, t, *rest = x.shape
    pairs = x[:, t % 2 :].reshape(b, t // 2, 2, *rest).mean(axis=2)
    return jnp.concatenate([x[:, : t % 2], pairs], axis=1)


def doubled(x: Clip, factor: int = 2) -> Clip:
    """Return each frame `factor` times, and of an odd number the first frame once."""
    apart = x.shape[1] % 2
    return jnp.concatenate([x[:, :apart], jnp.repeat(x[:, apart:], factor, axis=1)], axis=1)


def enlarged(z: Clip, like: Clip) -> Clip:
    """Return z with its pixels and frames repeated to the size of `like`."""
    apart = like.shape[1] % 2
    z = doubled(z, (like.shape[1] - apart) // max(1, z.shape[1] - apart))
    for axis in (2, 3):
        z = jnp.repeat(z, like.shape[axis] // z.shape[axis], axis=axis)
    return z


class Down(nnx.Module):
    """With `in_time` a halving of the frames, then a convolution that halves height and width."""

    def __init__(self, width: int, in_time: bool, *, key: Any, dtype: Any):
        self.in_time = in_time
        self.conv = Conv(width, width, 3, stride=2, bias_scale=1.0, key=key, dtype=dtype)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        del cache
        return self.conv(halved(x) if self.in_time else x)


class Up(nnx.Module):
    """Nearest-neighbour doubling of height and width, a convolution, and with `in_time` a doubling
    of the frames.
    """

    def __init__(self, width: int, in_time: bool, *, key: Any, dtype: Any):
        self.in_time = in_time
        self.conv = UpsamplingConv(width, width, bias_scale=1.0, key=key, dtype=dtype)

    def __call__(self, x: Clip) -> Clip:
        y = self.conv(x)
        return doubled(y) if self.in_time else y


class SpatialNorm(nnx.Module):
    """norm(x) * scale(z) + shift(z), for the latents z of the window."""

    def __init__(self, width: int, make: "Layers"):
        self.norm = make.norm(width)
        self.scale, self.shift = (make.pointwise(make.latents, width) for _ in range(2))

    def __call__(self, x: Clip, z: Clip) -> Clip:
        scale, shift = (enlarged(layer(z), x) for layer in (self.scale, self.shift))
        return self.norm(x) * scale + shift


class SpatialBlock(nnx.Module):
    """x + conv(silu(norm(conv(silu(norm(x, z))), z))), with a 1x1 convolution of x where the width
    changes.
    """

    def __init__(self, width: int, out: int, make: "Layers"):
        self.norm1, self.conv1 = SpatialNorm(width, make), make.conv(width, out)
        self.norm2, self.conv2 = SpatialNorm(out, make), make.conv(out, out)
        self.shortcut = make.conv(width, out, 1) if width != out else None

    def __call__(self, x: Clip, z: Clip, cache: CausalCache | None = None) -> Clip:
        h = self.conv1(nnx.silu(self.norm1(x, z)), cache)
        h = self.conv2(nnx.silu(self.norm2(h, z)), cache)
        return h + (x if self.shortcut is None else self.shortcut(x))


class SpatialBlocks(nnx.Module):
    """Blocks of these widths, then `resample`, or nothing."""

    def __init__(self, widths: Sequence[int], make: "Layers", resample: Up | None = None):
        pairs = itertools.pairwise(widths)
        self.blocks = nnx.List([SpatialBlock(width, out, make) for width, out in pairs])
        self.resample = resample

    def __call__(self, x: Clip, z: Clip, cache: CausalCache | None = None) -> Clip:
        for block in self.blocks:
            x = block(x, z, cache)
        return x if self.resample is None else self.resample(x)


class Layers:
    """The factory of one network's layers; `latents` are the channels that norms see."""

    def __init__(self, groups: int, latents: int = 0, *, rngs: nnx.Rngs, dtype: Any):
        self.groups, self.latents, self.rngs, self.dtype = groups, latents, rngs, dtype

    def norm(self, width: int) -> GroupNorm:
        return GroupNorm(width, groups=self.groups, per_frame=False)

    def conv(self, width: int, out: int, size: int = 3) -> CausalConv3d:
        return CausalConv3d(width, out, size, key=self.rngs.params(), dtype=self.dtype)

    def pointwise(self, width: int, out: int) -> Conv:
        return Conv(width, out, 1, bias_scale=1.0, key=self.rngs.params(), dtype=self.dtype)

    def block(self, width: int, out: int) -> ResBlock:
        shortcut = functools.partial(self.conv, size=1)
        return ResBlock(width, out, norm=self.norm, conv=self.conv, shortcut=shortcut)

    def middle(self, width: int) -> Blocks:
        return Blocks([self.block(width, width) for _ in range(2)])

    def down(self, width: int, in_time: bool) -> Down:
        return Down(width, in_time, key=self.rngs.params(), dtype=self.dtype)

    def up(self, width: int, in_time: bool) -> Up:
        return Up(width, in_time, key=self.rngs.params(), dtype=self.dtype)


class Encoder(ResidualEncoder):
    """A window [b t h w c] of a clip in [-1, 1] -> features [b t/4 h/8 w/8 d], of an odd number of
    frames with the first one apart.

    Args:
      channels: four widths, from the clip's resolution down.
      num_blocks: residual blocks at each resolution.
      groups: number of groups of each group norm.
    """

    spatial_factor, temporal_factor, causal = 8, 4, False
    windows = WINDOWS

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 256, 256, 512),
        num_blocks: int = 3,
        groups: int = 32,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        _check(channels)
        make = Layers(groups, rngs=rngs, dtype=dtype)
        pairs = itertools.pairwise([channels[0], *channels])
        steps = [functools.partial(make.down, out, time) for out, time in zip(channels, _IN_TIME)]
        stages = [
            Stage(width, out, num_blocks, step) for (width, out), step in zip(pairs, [*steps, None])
        ]
        super().__init__(make, stages, in_channels, out_channels)


class Decoder(nnx.Module):
    """A window of latents [b t h w d] -> frames [b 4t 8h 8w c] around [-1, 1], of an odd number of
    latents with a frame for the first one.

    The arguments are the encoder's; the authors' decoder has one block more at each resolution.
    """

    is_video, spatial_factor, temporal_factor, causal = True, 8, 4, False
    windows, last_layer = WINDOWS, "conv_out.kernel"

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 256, 256, 512),
        num_blocks: int = 4,
        groups: int = 32,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        _check(channels)
        self.out_channels = out_channels
        make = Layers(groups, in_channels, rngs=rngs, dtype=dtype)
        top, bottom = channels[-1], channels[0]
        self.conv_in = make.conv(in_channels, top)
        self.middle = SpatialBlocks([top] * 3, make)
        levels = []
        pairs = itertools.pairwise([top, *reversed(channels)])
        for (width, out), time in zip(pairs, (*_IN_TIME, None)):
            up = None if time is None else make.up(out, time)
            levels.append(SpatialBlocks([width] + [out] * num_blocks, make, up))
        self.levels = nnx.List(levels)
        self.norm_out = SpatialNorm(bottom, make)
        self.conv_out = make.conv(bottom, out_channels)

    def __call__(
        self, z: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, Any]]:
        del remat  # a window is rematerialized as a whole (pipeline.nn.clips.windows)
        x = self.conv_in(z, cache)
        for layer in (self.middle, *self.levels):
            x = layer(x, z, cache)
        x = self.conv_out(nnx.silu(self.norm_out(x, z)), cache)
        return x.astype(jnp.float32), {}


def _check(channels: Sequence[int]) -> None:
    if len(channels) != 4:
        raise ConfigError(
            f"channels of video.cogvideox must have 4 widths, not {len(channels)}: a latent stands "
            "for 8x8 pixels"
        )
