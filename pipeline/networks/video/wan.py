"""The encoder and decoder of Wan 2.1 (arXiv 2503.20314), which Qwen-Image and Wan 2.2 14B use too.

Residual blocks of 3-D convolutions that see zeros before a clip, norms of single pixels, and
attention within each frame in the middle. Clips of 1 + 4k frames become 1 + k frames of latents;
chunks give exactly what the whole clip gives, in both directions, and the latents of the first
frame are those of an image. Frame 0 goes around the layers that halve and double time.

The authors clamp decoded frames to [-1, 1]; here this is left to the codec, so that the gradient of
training does not vanish there.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

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
from pipeline.nn.norm import RMSNorm

_EPS = 1e-24  # only keeps 0 / 0 away: the authors divide by the norm itself


class TimeHalving(CausalConv3d):
    """Frame 0 as it is, then a convolution of three frames with stride 2: 1 + 2k become 1 + k."""

    def __init__(self, width: int, **settings: Any):
        super().__init__(width, width, (3, 1, 1), stride=(2, 1, 1), **settings)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        """Halve a whole clip, or with a `cache` its next chunk.

        Raises:
          ValueError: not 1 + 2k frames, or 2k in a later chunk.
        """
        first = starts_clip(cache)
        self._check_frames(x.shape[1], first=first)
        x = x.astype(self.dtype)
        joined = with_context(cache, x, lambda x: x[:, :0], keep=1)
        if joined.shape[1] < 3:  # frame 0 alone
            return joined
        kernel, bias = (each[...].astype(self.dtype) for each in (self.kernel, self.bias))
        halved = convolve_3d(joined, kernel, self.stride, bias)
        return jnp.concatenate([x[:, :1], halved], axis=1) if first else halved


class TimeDoubling(CausalConv3d):
    """Frame 0 as it is, then two frames for each, of a convolution that does not see frame 0.

    1 + k frames become 1 + 2k.
    """

    def __init__(self, width: int, **settings: Any):
        super().__init__(width, 2 * width, (3, 1, 1), time_padding="zeros", **settings)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        x = x.astype(self.dtype)
        head, rest = (x[:, :1], x[:, 1:]) if starts_clip(cache) else (x[:, :0], x)
        b, t, h, w, c = rest.shape
        zeros = jnp.zeros((b, 2, h, w, c), rest.dtype)
        joined = with_context(cache, rest, lambda _: zeros, keep=2)
        if not t:
            return head
        kernel, bias = (each[...].astype(self.dtype) for each in (self.kernel, self.bias))
        pairs = convolve_3d(joined, kernel, self.stride, bias).reshape(b, t, h, w, 2, c)
        frames = pairs.transpose(0, 1, 4, 2, 3, 5).reshape(b, 2 * t, h, w, c)
        return jnp.concatenate([head, frames], axis=1)


class Down(nnx.Module):
    """A convolution that halves height and width, and with `in_time` then the frames."""

    def __init__(self, width: int, in_time: bool, *, rngs: nnx.Rngs, dtype: Any):
        self.conv = Conv(width, width, 3, stride=2, bias_scale=1.0, key=rngs.params(), dtype=dtype)
        self.time = TimeHalving(width, key=rngs.params(), dtype=dtype) if in_time else None

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        x = self.conv(x)
        return x if self.time is None else self.time(x, cache)


class Up(nnx.Module):
    """With `in_time` a doubling of the frames, then nearest-neighbour doubling of height and width
    with a convolution to `out` channels.
    """

    def __init__(self, width: int, out: int, in_time: bool, *, rngs: nnx.Rngs, dtype: Any):
        self.time = TimeDoubling(width, key=rngs.params(), dtype=dtype) if in_time else None
        self.conv = UpsamplingConv(width, out, bias_scale=1.0, key=rngs.params(), dtype=dtype)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        return self.conv(x if self.time is None else self.time(x, cache))


class Layers:
    """Makes the layers of one network of Wan 2.1 or 2.2."""

    def __init__(self, *, rngs: nnx.Rngs, dtype: Any):
        self.rngs, self.dtype = rngs, dtype

    def norm(self, width: int) -> RMSNorm:
        return RMSNorm(width, eps=_EPS)

    def conv(self, width: int, out: int, kernel_size: int = 3) -> CausalConv3d:
        settings: Any = dict(time_padding="zeros", key=self.rngs.params(), dtype=self.dtype)
        return CausalConv3d(width, out, kernel_size, **settings)

    def pointwise(self, width: int, out: int) -> CausalConv3d:
        return self.conv(width, out, kernel_size=1)

    def block(self, width: int, out: int) -> ResBlock:
        conv, shortcut = self.conv, self.pointwise
        return ResBlock(width, out, norm=self.norm, conv=conv, shortcut=shortcut)

    def middle(self, width: int) -> Middle:
        settings: Any = dict(rngs=self.rngs, dtype=self.dtype)
        attention = SpatialAttention(width, norm=self.norm(width), **settings)
        return Middle(width, self.block, attention)

    def down(self, width: int, in_time: bool) -> Callable[[], Down]:
        return functools.partial(Down, width, in_time, rngs=self.rngs, dtype=self.dtype)

    def up(self, width: int, out: int, in_time: bool) -> Callable[[], Up]:
        return functools.partial(Up, width, out, in_time, rngs=self.rngs, dtype=self.dtype)


class Encoder(ResidualEncoder):
    """Clips [b 1+4k h w c] in [-1, 1] -> features [b 1+k h/8 w/8 d].

    Args:
      channels: widths from the clip's resolution down; height and width are halved between them.
      num_blocks: residual blocks at each resolution.
      in_time: for each halving, from the clip's resolution down, whether it is of time as well.
    """

    causal = True
    layers = Layers  # a family with other layers names its own

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (96, 192, 384, 384),
        num_blocks: int = 2,
        in_time: Sequence[bool] = (False, True, True),
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        check_levels(name_of(self), channels, in_time)
        make = self.layers(rngs=rngs, dtype=dtype)
        self.spatial_factor, self.temporal_factor = 2 ** len(in_time), 2 ** sum(in_time)
        downs = [make.down(out, halves) for out, halves in zip(channels, in_time)]
        pairs = itertools.pairwise([channels[0], *channels])
        stages = [Stage(i, o, num_blocks, down) for (i, o), down in zip(pairs, [*downs, None])]
        super().__init__(make, stages, in_channels, out_channels)


class Decoder(ResidualDecoder):
    """Latents [b t h w d] -> clips [b 4t-3 8h 8w c] around [-1, 1].

    The arguments are the encoder's, in the same order; the authors' decoder has one block more at
    each resolution. A doubling halves the channels.
    """

    causal = True
    layers = Layers  # a family with other layers names its own

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (96, 192, 384, 384),
        num_blocks: int = 3,
        in_time: Sequence[bool] = (False, True, True),
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        check_levels(name_of(self), channels, in_time)
        if any(width % 2 for width in channels[1:]):
            raise ConfigError(
                f"{name_of(self)}: channels={tuple(channels)} must be even after the first, as a "
                "doubling of the frame halves them"
            )
        make = self.layers(rngs=rngs, dtype=dtype)
        self.spatial_factor, self.temporal_factor = 2 ** len(in_time), 2 ** sum(in_time)
        outs = list(reversed(channels))
        widths = [outs[0], *(out // 2 for out in outs[:-1])]
        ups = [make.up(out, out // 2, doubles) for out, doubles in zip(outs, reversed(in_time))]
        stages = [
            Stage(width, out, num_blocks, up) for width, out, up in zip(widths, outs, [*ups, None])
        ]
        super().__init__(make, stages, in_channels, out_channels)


def name_of(network: nnx.Module) -> str:
    """Return the name by which recipes find a network, such as "video.wan.Decoder"."""
    kind = type(network)
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("pipeline.networks.")


def check_levels(name: str, channels: Sequence[int], in_time: Sequence[bool]) -> None:
    """Check that there is one resampling between two resolutions each. Raises ConfigError."""
    if len(channels) != len(in_time) + 1:
        raise ConfigError(
            f"{name}: in_time={tuple(in_time)} must have one value for each of the "
            f"{max(0, len(channels) - 1)} halvings between channels={tuple(channels)}"
        )
