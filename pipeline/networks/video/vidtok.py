"""The encoder and decoder of VidTok (arXiv 2412.13061), for continuous latents and for codes.

Each residual block within frames is followed by one over time at each pixel; 3-D convolutions are
only at the ends, in the middle and where time is halved or doubled. Norms are of single pixels. A
clip of 1 + 4k frames gets 3 copies of its first frame in front, as the authors' training has it,
and becomes 1 + k latents; decoded frames lose the first 3. The encoder is causal. The decoder is
not: it doubles frames by interpolation, which looks one latent ahead.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from pipeline.core.errors import ConfigError
from pipeline.networks.video.residual import (
    Clip,
    Middle,
    ResBlock,
    ResidualDecoder,
    ResidualEncoder,
    Stage,
)
from pipeline.nn.attention import SpatialAttention
from pipeline.nn.cache import CausalCache, starts_clip, with_context
from pipeline.nn.conv import Conv, UpsamplingConv
from pipeline.nn.conv3d import CausalConv3d, convolve_3d
from pipeline.nn.norm import LayerNorm
from pipeline.nn.resample import linear_double

_MIX = 2.0  # sigmoid of it is the initial weight of the pool or interpolation


class FrameConv(Conv):
    """A convolution within frames, called as those over time are."""

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        del cache
        return super().__call__(x)


class Pair(nnx.Module):
    """A residual block within frames, and one over time at each pixel."""

    def __init__(self, space: ResBlock, time: ResBlock):
        self.space, self.time = space, time

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        return self.time(self.space(x, cache), cache)


class Mixed(CausalConv3d):
    """a p(x) + (1 - a) conv(x), with a learned weight a and a pool or interpolation p in time."""

    def __init__(self, width: int, **settings: Any):
        super().__init__(width, width, 3, **settings)
        self.mix = nnx.Param(jnp.full((1,), _MIX, jnp.float32))

    def mixed(self, plain: Clip, convolved: Clip) -> Clip:
        weight = jax.nn.sigmoid(self.mix[...]).astype(plain.dtype)
        return weight * plain + (1 - weight) * convolved


class TimeHalving(Mixed):
    """Means of three frames with stride 2, mixed with a convolution: 2k frames become k."""

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        x = x.astype(self.dtype)
        joined = with_context(cache, x, lambda x: x[:, :1], keep=1)
        pooled = (joined[:, :-2:2] + joined[:, 1:-1:2] + joined[:, 2::2]) / 3
        kernel, bias = (each[...].astype(self.dtype) for each in (self.kernel, self.bias))
        return self.mixed(pooled, convolve_3d(joined, kernel, (2, 1, 1), bias))


class TimeDoubling(Mixed):
    """Twice the frames by interpolation, mixed with a convolution of them. The first `apart` frames
    are those of the first latent, and are interpolated among themselves.
    """

    def __init__(self, width: int, apart: int, **settings: Any):
        super().__init__(width, **settings)
        self.apart = apart

    def __call__(self, x: Clip, cache: None = None) -> Clip:
        x = x.astype(self.dtype)
        parts = [part for part in jnp.split(x, [self.apart], axis=1) if part.shape[1]]
        doubled = jnp.concatenate([linear_double(part, 1) for part in parts], axis=1)
        return self.mixed(doubled, super().__call__(doubled, cache))


class Resample(nnx.Module):
    """A change of height and width within frames, and then, or not, one of time."""

    def __init__(self, space: Callable[[Clip], Clip], time: Mixed | None):
        self.space, self.time = space, time

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        x = self.space(x)
        return x if self.time is None else self.time(x, cache)


class Layers:
    """The factory of one network's layers."""

    def __init__(self, *, rngs: nnx.Rngs, dtype: Any):
        self.rngs, self.dtype = rngs, dtype

    def norm(self, width: int) -> LayerNorm:
        return LayerNorm(width)

    def conv(self, width: int, out: int, size: Any = 3) -> CausalConv3d:
        return CausalConv3d(width, out, size, key=self.rngs.params(), dtype=self.dtype)

    def within(self, width: int, out: int, size: int = 3, **settings: Any) -> FrameConv:
        settings = dict(bias_scale=1.0, key=self.rngs.params(), dtype=self.dtype) | settings
        return FrameConv(width, out, size, **settings)

    def block(self, width: int, out: int) -> Pair:
        shortcut = functools.partial(self.within, size=1)
        space = ResBlock(width, out, norm=self.norm, conv=self.within, shortcut=shortcut)
        over_time = functools.partial(self.conv, size=(3, 1, 1))
        return Pair(space, ResBlock(out, out, norm=self.norm, conv=over_time, shortcut=over_time))

    def middle(self, width: int) -> Middle:
        def block(width: int, out: int) -> ResBlock:
            return ResBlock(width, out, norm=self.norm, conv=self.conv, shortcut=self.conv)

        same: Any = dict(rngs=self.rngs, dtype=self.dtype)
        return Middle(width, block, _Attention(width, norm=self.norm(width), **same))

    def down(self, width: int, in_time: bool) -> Resample:
        space = self.within(width, width, stride=2)
        return Resample(space, TimeHalving(width, **self._given()) if in_time else None)

    def up(self, width: int, in_time: bool, apart: int) -> Resample:
        space = UpsamplingConv(width, width, bias_scale=1.0, **self._given())
        return Resample(space, TimeDoubling(width, apart, **self._given()) if in_time else None)

    def _given(self) -> dict[str, Any]:
        return dict(key=self.rngs.params(), dtype=self.dtype)


class _Attention(SpatialAttention):
    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        del cache
        return super().__call__(x)


class Encoder(ResidualEncoder):
    """Clips [b 1+4t h w c] in [-1, 1] -> features [b 1+t h/8 w/8 d], with the default settings.

    Args:
      channels: a width for each resolution, from the clip's down; height and width are halved
        between them.
      in_time: whether each of these halvings halves time as well.
      num_blocks: pairs of residual blocks at each resolution.
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
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.spatial_factor, self.temporal_factor = _factors(channels, in_time)
        make = Layers(rngs=rngs, dtype=dtype)
        resamples = [
            functools.partial(make.down, width, time) for width, time in zip(channels, in_time)
        ]
        widths = [channels[0], *channels]
        super().__init__(make, _stages(widths, resamples, num_blocks), in_channels, out_channels)

    def __call__(
        self, x: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, Any]]:
        if starts_clip(cache):
            copies = jnp.repeat(x[:, :1], self.temporal_factor - 1, axis=1)
            x = jnp.concatenate([copies, x], axis=1)
        return super().__call__(x, cache=cache, remat=remat)


class Decoder(ResidualDecoder):
    """Latents [b 1+t h w d] -> clips [b 1+4t 8h 8w c] around [-1, 1], with the default settings.

    Args:
      channels: as the encoder's.
      in_time: whether each doubling doubles time as well, from the latents up.
      num_blocks: pairs of residual blocks at each resolution.
    """

    causal = False

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 256, 512, 512),
        in_time: Sequence[bool] = (False, True, True),
        num_blocks: int = 3,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.spatial_factor, self.temporal_factor = _factors(channels, in_time)
        make, widths = Layers(rngs=rngs, dtype=dtype), [channels[-1], *reversed(channels)]
        resamples = [
            functools.partial(make.up, width, time, 2 ** sum(in_time[:number]))
            for number, (width, time) in enumerate(zip(widths[1:], in_time))
        ]
        super().__init__(make, _stages(widths, resamples, num_blocks), in_channels, out_channels)

    def __call__(
        self, z: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, Any]]:
        x, aux = super().__call__(z, cache=cache, remat=remat)
        return x[:, self.temporal_factor - 1 :], aux


def _stages(
    widths: Sequence[int], resamples: Sequence[Callable[[], Any]], num_blocks: int
) -> list[Stage]:
    pairs = itertools.zip_longest(itertools.pairwise(widths), resamples)
    return [Stage(width, out, num_blocks, resample) for (width, out), resample in pairs]


def _factors(channels: Sequence[int], in_time: Sequence[bool]) -> tuple[int, int]:
    if len(in_time) != len(channels) - 1:
        raise ConfigError(
            f"VidTok: in_time={tuple(in_time)} must have one value between each two of "
            f"channels={tuple(channels)}"
        )
    return 2 ** len(in_time), 2 ** sum(in_time)
