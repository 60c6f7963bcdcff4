"""The encoder and decoder of HunyuanVideo 1.5, which compress 4 x 16 x 16.

Convolutions repeat the first frame and the edges of frames, as HunyuanVideo's do; norms are of
single pixels, so that both networks are causal, and attention in the middle is over all pixels of
all frames up to each. A step to the next resolution is a convolution and a move of blocks of pixels
into channels, or back, and its input takes the same way beside the convolution, with channels
averaged in groups, or repeated. The first frame of a clip is moved in space alone: its convolved
channels are then used twice on the way down, and the first half of them on the way up.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx

from pipeline.core.errors import ConfigError
from pipeline.networks.video.hunyuan import Middle
from pipeline.networks.video.residual import Clip, ResBlock, ResidualDecoder, ResidualEncoder, Stage
from pipeline.nn.cache import CausalCache, starts_clip
from pipeline.nn.clips.causal_attention import CausalAttention
from pipeline.nn.conv3d import CausalConv3d
from pipeline.nn.norm import RMSNorm
from pipeline.nn.norm_act_conv import norm_act_conv
from pipeline.nn.remat import run

_EPS = 1e-24  # only keeps 0 / 0 away: the authors divide by the norm itself
Factors = tuple[int, int, int]


class Down(nnx.Module):
    """A convolution to channels that become `out` with blocks of pixels as one, plus the average of
    the input's.
    """

    def __init__(self, conv: CausalConv3d, out: int, in_time: bool):
        self.conv, self.out, self.in_time = conv, out, in_time

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        h = self.conv(x, cache)
        rest = (2 if self.in_time else 1, 2, 2)
        if not (self.in_time and starts_clip(cache)):
            return packed(h, rest) + averaged(packed(x, rest), self.out)
        first = packed(h[:, :1], (1, 2, 2))
        first = jnp.concatenate([first, first], axis=-1)
        first = first + averaged(packed(x[:, :1], (1, 2, 2)), self.out)
        others = packed(h[:, 1:], rest) + averaged(packed(x[:, 1:], rest), self.out)
        return jnp.concatenate([first, others], axis=1)


class Up(nnx.Module):
    """A convolution to channels that become blocks of pixels of `out` channels, plus the input with
    its channels repeated.
    """

    def __init__(self, conv: CausalConv3d, out: int, in_time: bool):
        self.conv, self.out, self.in_time = conv, out, in_time

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        h = self.conv(x, cache)
        if not self.in_time:
            wide = repeated(x, 4 * self.out)
            return unpacked(h, (1, 2, 2)) + unpacked(wide, (1, 2, 2))
        start = int(starts_clip(cache))
        first = unpacked(h[:, :start], (1, 2, 2))[..., : self.out]
        first = first + repeated(unpacked(x[:, :start], (1, 2, 2)), self.out)
        others = unpacked(h[:, start:], (2, 2, 2))
        others = others + repeated(unpacked(x[:, start:], (2, 2, 2)), self.out)
        return jnp.concatenate([first, others], axis=1)


def packed(x: Clip, factors: Factors) -> Clip:
    """Return x with blocks of frames, rows and columns as channels: the place in the block first,
    then the channel (pipeline.nn.space_to_channel.pack has the other order).
    """
    b, t, h, w, c = x.shape
    u, v, s = factors
    x = x.reshape(b, t // u, u, h // v, v, w // s, s, c).transpose(0, 1, 3, 5, 2, 4, 6, 7)
    return x.reshape(b, t // u, h // v, w // s, u * v * s * c)


def unpacked(x: Clip, factors: Factors) -> Clip:
    """Return the x of which `packed` gives this one."""
    b, t, h, w, d = x.shape
    u, v, s = factors
    c = d // (u * v * s)
    x = x.reshape(b, t, h, w, u, v, s, c).transpose(0, 1, 4, 2, 5, 3, 6, 7)
    return x.reshape(b, t * u, h * v, w * s, c)


def averaged(x: Clip, out: int) -> Clip:
    """Return the means of `out` groups of consecutive channels."""
    return x.reshape(*x.shape[:-1], out, x.shape[-1] // out).mean(axis=-1)


def repeated(x: Clip, out: int) -> Clip:
    """Return each channel as often as gives `out` channels."""
    return jnp.repeat(x, out // x.shape[-1], axis=-1)


class Layers:
    """The factory of one network's layers."""

    def __init__(self, *, rngs: nnx.Rngs, dtype: Any):
        self.rngs, self.dtype = rngs, dtype

    def norm(self, width: int) -> RMSNorm:
        return RMSNorm(width, eps=_EPS)

    def conv(self, width: int, out: int, size: int = 3) -> CausalConv3d:
        same: Any = dict(space_padding="replicate", key=self.rngs.params(), dtype=self.dtype)
        return CausalConv3d(width, out, size, **same)

    def block(self, width: int, out: int) -> ResBlock:
        shortcut = functools.partial(self.conv, size=1)
        return ResBlock(width, out, norm=self.norm, conv=self.conv, shortcut=shortcut)

    def middle(self, width: int) -> Middle:
        same: Any = dict(norm=self.norm(width), rngs=self.rngs, dtype=self.dtype)
        attention = CausalAttention(width, **same)
        return Middle(self.block(width, width), attention, self.block(width, width))

    def down(self, width: int, out: int, in_time: bool) -> Down:
        return Down(self.conv(width, out // (8 if in_time else 4)), out, in_time)

    def up(self, width: int, out: int, in_time: bool) -> Up:
        return Up(self.conv(width, out * (8 if in_time else 4)), out, in_time)


class Encoder(ResidualEncoder):
    """Clips [b 1+4t h w c] in [-1, 1] -> features [b 1+t h/16 w/16 d], with the default settings.

    The average of groups of the middle's channels is added to the features.

    Args:
      channels: a width for each resolution, from the clip's down; a step between two of them halves
        height and width.
      in_time: for each of these steps whether it halves time as well.
      num_blocks: residual blocks at each resolution.
    """

    causal = True

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 256, 512, 1024, 1024),
        in_time: Sequence[bool] = (False, False, True, True),
        num_blocks: int = 2,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.spatial_factor, self.temporal_factor = _factors(channels, in_time)
        _check_divides(out_channels, channels[-1], "the encoder's last width")
        make = Layers(rngs=rngs, dtype=dtype)
        stages = _stages(channels, in_time, num_blocks, make.down)
        super().__init__(make, stages, in_channels, out_channels)

    def __call__(
        self, x: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, Any]]:
        x = self.conv_in(x, cache)
        for layer in (*self.levels, self.middle):
            x = run(layer, x, cache, remat=remat)
        y = norm_act_conv(self.norm_out, self.conv_out, x, cache)
        return y + averaged(x, self.out_channels), {}


class Decoder(ResidualDecoder):
    """Latents [b 1+t h w d] -> clips [b 1+4t 16h 16w c] around [-1, 1].

    The arguments are the encoder's, in the same order; the authors' decoder has one block more at
    each resolution. The latents are added to the first convolution of them, with channels repeated.
    """

    causal = True

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 256, 512, 1024, 1024),
        in_time: Sequence[bool] = (False, False, True, True),
        num_blocks: int = 3,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.spatial_factor, self.temporal_factor = _factors(channels, in_time)
        _check_divides(in_channels, channels[-1], "the decoder's first width")
        make = Layers(rngs=rngs, dtype=dtype)
        stages = _stages([*reversed(channels)], [*reversed(in_time)], num_blocks, make.up)
        super().__init__(make, stages, in_channels, out_channels)

    def __call__(
        self, z: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, Any]]:
        x = self.conv_in(z, cache)
        x = x + repeated(z, x.shape[-1]).astype(x.dtype)
        for layer in (self.middle, *self.levels):
            x = run(layer, x, cache, remat=remat)
        x = norm_act_conv(self.norm_out, self.conv_out, x, cache)
        return x.astype(jnp.float32), {}


def _stages(
    channels: Sequence[int], in_time: Sequence[bool], num_blocks: int, resample: Any
) -> list[Stage]:
    """Return the stages of one network, in its order; a step already has the next one's width."""
    steps = [
        functools.partial(resample, width, out, time)
        for width, out, time in zip(channels, channels[1:], in_time)
    ]
    return [Stage(width, width, num_blocks, step) for width, step in zip(channels, [*steps, None])]


def _factors(channels: Sequence[int], in_time: Sequence[bool]) -> tuple[int, int]:
    if len(channels) != len(in_time) + 1:
        raise ConfigError(
            f"in_time={list(in_time)} must say for each of the {len(channels) - 1} steps between "
            f"channels={list(channels)} whether it is one of time too"
        )
    for width, out, time in zip(channels, channels[1:], in_time):
        size = 8 if time else 4
        if out % size or 4 * width % out:  # groups are averaged, of the first frame half of them
            raise ConfigError(
                f"channels={list(channels)}: a step of video.hunyuan_residual from {width} to "
                f"{out} needs a multiple of {size} that divides {4 * width}"
            )
    return 2 ** len(in_time), 2 ** sum(in_time)


def _check_divides(part: int, width: int, what: str) -> None:
    if width % part:
        raise ConfigError(f"{what}, {width}, must be a multiple of {part}, the channels of latents")
