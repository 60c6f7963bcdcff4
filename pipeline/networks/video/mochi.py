"""The encoder and decoder of Mochi 1's codec (genmoai/mochi), which is causal.

Height and width are halved three times, and time is divided by 1, 2 and 3: clips of 1 + 6k frames
become 1 + k. The encoder sees sines and cosines of the pixels besides the pixels, and after its
residual blocks each pixel attends to itself in the earlier frames. Group norms see one frame, and
edges of frames are repeated.

Chunks give what the whole clip gives. The encoder's cache holds the keys and values of all earlier
frames, so it grows with the clip.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.networks.video.residual import ResBlock
from pipeline.nn.cache import CausalCache, starts_clip
from pipeline.nn.clips.temporal_attention import attend_to_earlier
from pipeline.nn.conv3d import CausalConv3d
from pipeline.nn.norm import GroupNorm
from pipeline.nn.remat import run
from pipeline.nn.space_to_channel import unpack

Clip = Float[Array, "b _ _ _ _"]
EPS = 1e-5  # of norms, and of the length of queries and keys
HEAD = 32  # channels of a head
FREQUENCIES = (64.0, 128.0)  # periods in a unit of pixel values
PIXELS = (np.arange(256) / 127.5 - 1).astype(np.float32)
ROUNDING = 1.5e-7
FEATURES = 1 + 2 * len(FREQUENCIES)  # of each channel


class Layers:
    """The factory of one network's layers."""

    def __init__(self, *, rngs: nnx.Rngs, dtype: Any):
        self.rngs, self.dtype = rngs, dtype

    def norm(self, width: int) -> GroupNorm:
        return GroupNorm(width, groups=32, eps=EPS)

    def conv(self, width: int, out: int) -> CausalConv3d:
        settings: Any = dict(space_padding="replicate", key=self.rngs.params(), dtype=self.dtype)
        return CausalConv3d(width, out, 3, **settings)

    def linear(self, width: int, out: int, bias: bool = True) -> nnx.Linear:
        return nnx.Linear(width, out, use_bias=bias, dtype=self.dtype, rngs=self.rngs)

    def down(self, width: int, out: int, factors: tuple[int, int, int]) -> CausalConv3d:
        settings: Any = dict(stride=factors, key=self.rngs.params(), dtype=self.dtype)
        return CausalConv3d(width, out, factors, space_width=(0, 0), **settings)

    def block(self, width: int) -> ResBlock:
        return ResBlock(width, width, norm=self.norm, conv=self.conv, shortcut=self.conv)


class TemporalAttention(nnx.Module):
    """Attention of each pixel to itself in earlier frames, with queries and keys of length one."""

    def __init__(self, width: int, make: Layers):
        if width % HEAD:
            raise ConfigError(
                f"video.mochi attends with {width} channels, which {HEAD} must divide"
            )
        self.norm = make.norm(width)
        self.query, self.key, self.value = (make.linear(width, width, False) for _ in range(3))
        self.out = make.linear(width, width)
        self.heads = width // HEAD

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        h = self.norm(x)
        query, key = self._unit(self.query(h)), self._unit(self.key(h))
        return x + self.out(attend_to_earlier(query, key, self.value(h), self.heads, cache))

    def _unit(self, x: Clip) -> Clip:
        heads = x.astype(jnp.float32).reshape(*x.shape[:-1], self.heads, HEAD)
        length = jnp.sqrt(jnp.square(heads).sum(axis=-1, keepdims=True))
        return (heads / jnp.maximum(length, EPS)).reshape(x.shape).astype(x.dtype)


class Blocks(nnx.Module):
    """Residual blocks of one width, each with attention behind it if `attends`."""

    def __init__(self, width: int, count: int, attends: bool, make: Layers):
        self.blocks = nnx.List([make.block(width) for _ in range(count)])
        made = [TemporalAttention(width, make) for _ in range(count if attends else 0)]
        self.attentions = nnx.List(made)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        for index, block in enumerate(self.blocks):
            x = block(x, cache)
            x = self.attentions[index](x, cache) if self.attentions else x
        return x


class Down(nnx.Module):
    """A convolution whose kernel is its stride, then residual blocks."""

    def __init__(
        self,
        width: int,
        out: int,
        factors: tuple[int, int, int],
        count: int,
        attends: bool,
        make: Layers,
    ):
        self.down = make.down(width, out, factors)
        self.blocks = Blocks(out, count, attends, make)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        return self.blocks(self.down(x, cache), cache)


class Up(nnx.Module):
    """Residual blocks, then a linear map whose channels become blocks of pixels.

    No frame is dropped: 1 + k latents have `factors[0]` frames each.
    """

    def __init__(
        self, width: int, out: int, factors: tuple[int, int, int], count: int, make: Layers
    ):
        self.blocks = Blocks(width, count, False, make)
        self.up = make.linear(width, out * math.prod(factors))
        self.factors = factors

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        return unpack(self.up(self.blocks(x, cache)), self.factors)


class Encoder(nnx.Module):
    """Clips [b t h w c] in [-1, 1] of 1 + 6k frames -> features [b 1+k h/8 w/8 d].

    Args:
      channels: widths, from the clip's resolution down.
      num_blocks: residual blocks at each resolution, then those of the middle.
      time_factors, space_factors: by how much each step divides time, and height and width.
      attention: whether there is attention at each resolution, then in the middle.
    """

    is_video, causal = True, True

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (64, 128, 256, 384),
        num_blocks: Sequence[int] = (3, 3, 4, 6, 3),
        time_factors: Sequence[int] = (1, 2, 3),
        space_factors: Sequence[int] = (2, 2, 2),
        attention: Sequence[bool] = (False, True, True, True, True),
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        _check_lengths(channels, num_blocks, time_factors, space_factors, attention)
        make = Layers(rngs=rngs, dtype=dtype)
        self.out_channels = out_channels
        self.temporal_factor: int = math.prod(time_factors)
        self.spatial_factor: int = math.prod(space_factors)
        self.conv_in = make.linear(FEATURES * in_channels, channels[0])
        self.blocks_in = Blocks(channels[0], num_blocks[0], attention[0], make)
        steps = zip(
            itertools.pairwise(channels), time_factors, space_factors, num_blocks[1:], attention[1:]
        )
        self.levels = nnx.List(
            [Down(i, o, (t, s, s), count, attends, make) for (i, o), t, s, count, attends in steps]
        )
        self.blocks_out = Blocks(channels[-1], num_blocks[-1], attention[-1], make)
        self.norm_out = make.norm(channels[-1])
        self.conv_out = make.linear(channels[-1], out_channels, False)

    def __call__(
        self, x: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, Any]]:
        x = self.conv_in(fourier_features(x))
        for layer in (self.blocks_in, *self.levels, self.blocks_out):
            x = run(layer, x, cache, remat=remat)
        return self.conv_out(nnx.silu(self.norm_out(x))), {}


class Decoder(nnx.Module):
    """Latents [b t h w d] -> clips [b 6t-5 8h 8w c] around [-1, 1].

    Args:
      channels: widths, from the clip's resolution down, as the encoder's.
      num_blocks, time_factors, space_factors: as the encoder's, also in that order.
    """

    is_video, causal, last_layer = True, True, "conv_out.kernel"

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 256, 512, 768),
        num_blocks: Sequence[int] = (3, 3, 4, 6, 3),
        time_factors: Sequence[int] = (1, 2, 3),
        space_factors: Sequence[int] = (2, 2, 2),
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        _check_lengths(channels, num_blocks, time_factors, space_factors)
        make = Layers(rngs=rngs, dtype=dtype)
        self.out_channels = out_channels
        self.temporal_factor: int = math.prod(time_factors)
        self.spatial_factor: int = math.prod(space_factors)
        self.conv_in = make.linear(in_channels, channels[-1])
        self.blocks_in = Blocks(channels[-1], num_blocks[-1], False, make)
        widths = list(itertools.pairwise(channels))
        steps = list(zip(widths, time_factors, space_factors, num_blocks[1:]))
        self.levels = nnx.List(
            [Up(o, i, (t, s, s), count, make) for (i, o), t, s, count in reversed(steps)]
        )
        self.blocks_out = Blocks(channels[0], num_blocks[0], False, make)
        self.conv_out = make.linear(channels[0], out_channels)

    def __call__(
        self, z: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, Any]]:
        x = self.conv_in(z)
        for layer in (self.blocks_in, *self.levels, self.blocks_out):
            x = run(layer, x, cache, remat=remat)
        x = self.conv_out(nnx.silu(x)).astype(jnp.float32)
        return x[:, self.temporal_factor - 1 :] if starts_clip(cache) else x, {}


def fourier_features(x: Float[Array, "... c"]) -> Float[Array, "... c5"]:
    """Return x, then the sines and then the cosines of 2 pi f x; float32, channel by channel."""
    x = _exact_pixels(x.astype(jnp.float32))
    rates = jnp.float32(2 * math.pi) * jnp.asarray(FREQUENCIES, jnp.float32)
    angles = (x[..., None] * rates).reshape(*x.shape[:-1], -1)
    return jnp.concatenate([x, jnp.sin(angles), jnp.cos(angles)], axis=-1)


def _exact_pixels(x: Float[Array, "... c"]) -> Float[Array, "... c"]:
    """Return x with values that are 8-bit pixels but for a rounding as their nearest float32.

    A compiler rounds k / 127.5 - 1 once or twice. The angles of the features are 800 times as far
    apart as the pixels, so that latents would differ by 1e-4 of their deviation.
    """
    index = jnp.clip(jnp.round((x + 1) * 127.5), 0, 255).astype(jnp.int32)
    nearest = jnp.asarray(PIXELS)[index]
    return jnp.where(jnp.abs(x - nearest) < ROUNDING, x + jax.lax.stop_gradient(nearest - x), x)


def _check_lengths(
    channels: Sequence[int],
    num_blocks: Sequence[int],
    time_factors: Sequence[int],
    space_factors: Sequence[int],
    attention: Sequence[bool] | None = None,
) -> None:
    steps = len(channels) - 1
    values = dict(num_blocks=num_blocks, time_factors=time_factors, space_factors=space_factors)
    values |= {} if attention is None else dict(attention=attention)
    for name, given in values.items():
        wanted = steps if name.endswith("factors") else steps + 2
        if len(given) != wanted:
            raise ConfigError(
                f"video.mochi: {len(channels)} channels need {wanted} values of {name}, not "
                f"{len(given)}"
            )
