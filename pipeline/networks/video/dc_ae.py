"""DC-AE of clips (arXiv 2410.10733, 2509.25182), whose chunks of time see themselves and the past.

Convolutions over time see one frame of the chunk before, and none of the chunk behind; attention is
within a chunk. So a clip is coded chunk by chunk, with a cache of one frame for each convolution,
and chunks belong to the codec (`windows`, pipeline.core.windows). Residual blocks, linear attention
and shortcuts are those of DC-AE (pipeline.networks.dc_ae), with a third axis. The weights of
DC-AE-V are not public, and its paper gives no sizes: these networks are ours.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.core.windows import Windows
from pipeline.networks.dc_ae.blocks import Mix, PixelNorm
from pipeline.networks.dc_ae.levels import check_levels
from pipeline.networks.dc_ae.linear_attention import LinearAttention
from pipeline.networks.dc_ae.resampling import average_channels, check_multiple, repeat_channels
from pipeline.nn.cache import CausalCache
from pipeline.nn.conv3d import CausalConv3d
from pipeline.nn.space_to_channel import pack, unpack

Clip = Float[Array, "b _ _ _ _"]


class ChunkConv3d(CausalConv3d):
    """A 3x3x3 convolution within a chunk, which also sees the last frame of the chunk before.

    The last frame of a chunk is repeated behind it, and the first one of a clip in front.
    """

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        cache = cache or CausalCache()
        x = cache.prepend_context(x.astype(self.dtype), lambda x: x[:, :1], keep=1)
        return self._convolved(jnp.concatenate([x, x[:, -1:]], axis=1))


class ResBlock(nnx.Module):
    """x + norm(conv(silu(conv(x))))."""

    def __init__(self, width: int, *, rngs: nnx.Rngs, dtype: Any):
        self.conv1, self.conv2 = (_conv(width, width, rngs, dtype) for _ in range(2))
        self.norm = PixelNorm(width)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        return x + self.norm(self.conv2(nnx.silu(self.conv1(x, cache)), cache))


class AttentionBlock(nnx.Module):
    """x + norm(linear attention over all pixels of a chunk), then DC-AE's mix of each frame."""

    def __init__(self, width: int, head_dim: int, *, rngs: nnx.Rngs, dtype: Any):
        self.attention = LinearAttention(width, head_dim=head_dim, rngs=rngs, dtype=dtype)
        self.norm = PixelNorm(width)
        self.mix = Mix(width, rngs=rngs, dtype=dtype)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        del cache
        b, t, h, w, c = x.shape
        x = x.reshape(b, t * h, w, c)
        x = x + self.norm(self.attention(x))
        return self.mix(x.reshape(b * t, h, w, c)).reshape(b, t, h, w, c)


class Halving(nnx.Module):
    """Height and width / 2, and with `frames` = 2 also time, by moving pixels into channels.

    The shortcut averages groups of the input's moved channels.
    """

    def __init__(self, width: int, out: int, frames: int, *, rngs: nnx.Rngs, dtype: Any):
        self.factors, self.out = (frames, 2, 2), out
        check_multiple(out, 4 * frames, "channels after a halving")
        check_multiple(4 * frames * width, out, "channels of a halving's shortcut")
        self.conv = _conv(width, out // (4 * frames), rngs, dtype)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        y = pack(self.conv(x, cache), self.factors)
        return y + average_channels(pack(x, self.factors), self.out).astype(y.dtype)


class Doubling(nnx.Module):
    """Height and width * 2, and with `frames` = 2 also time, by moving channels into pixels.

    The shortcut repeats the input's channels and moves them.
    """

    def __init__(self, width: int, out: int, frames: int, *, rngs: nnx.Rngs, dtype: Any):
        self.factors, self.wide = (frames, 2, 2), 4 * frames * out
        check_multiple(self.wide, width, "channels of a doubling's shortcut")
        self.conv = _conv(width, self.wide, rngs, dtype)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        y = unpack(self.conv(x, cache), self.factors)
        return y + unpack(repeat_channels(x, self.wide), self.factors).astype(y.dtype)


class Encoder(nnx.Module):
    """Chunks [b t h w c] of a clip in [-1, 1] -> features of each latent.

    Args:
      channels: widths from the clip's resolution down, which is halved between them.
      depths: blocks at each resolution.
      attention_levels: resolutions, counted from the clip's down, whose blocks attend.
      in_time: for each halving, whether time is halved too.
      head_dim: channels of a head of the attention.
      chunk: frames of a chunk.
    """

    is_video, causal = True, False

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 256, 512, 512, 1024, 1024),
        depths: Sequence[int] = (2, 2, 2, 3, 3, 3),
        attention_levels: Sequence[int] = (3, 4, 5),
        in_time: Sequence[bool] = (False, False, False, True, True),
        head_dim: int = 32,
        chunk: int = 16,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        _configure(self, channels, depths, attention_levels, in_time, chunk)
        check_multiple(channels[-1], out_channels, "channels of the lowest resolution")
        self.out_channels = out_channels
        same: Any = dict(rngs=rngs, dtype=dtype)
        self.conv_in = _conv(in_channels, channels[0], **same)
        layers = []
        for level, width in enumerate(channels):
            layers += _blocks(width, depths[level], level in attention_levels, head_dim, **same)
            if level < len(channels) - 1:
                layers.append(Halving(width, channels[level + 1], 1 + in_time[level], **same))
        self.layers = nnx.List(layers)
        self.conv_out = _conv(channels[-1], out_channels, **same)

    def __call__(
        self, x: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, Any]]:
        """Encode a chunk; with `cache`, the next one of a clip."""
        del remat  # a chunk is rematerialized as a whole (pipeline.nn.clips.windows)
        x = self.conv_in(x, cache)
        for layer in self.layers:
            x = layer(x, cache)
        return self.conv_out(x, cache) + average_channels(x, self.out_channels), {}


class Decoder(nnx.Module):
    """Chunks of latents [b t h w d] -> frames around [-1, 1].

    The arguments are the encoder's, in the same order.
    """

    is_video, causal, last_layer = True, False, "conv_out.kernel"

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 256, 512, 512, 1024, 1024),
        depths: Sequence[int] = (2, 2, 2, 3, 3, 3),
        attention_levels: Sequence[int] = (3, 4, 5),
        in_time: Sequence[bool] = (False, False, False, True, True),
        head_dim: int = 32,
        chunk: int = 16,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        _configure(self, channels, depths, attention_levels, in_time, chunk)
        check_multiple(channels[-1], in_channels, "channels of the lowest resolution")
        self.out_channels, self.width = out_channels, channels[-1]
        same: Any = dict(rngs=rngs, dtype=dtype)
        self.conv_in = _conv(in_channels, channels[-1], **same)
        layers = []
        for level in reversed(range(len(channels))):
            width = channels[level]
            if level < len(channels) - 1:
                layers.append(Doubling(channels[level + 1], width, 1 + in_time[level], **same))
            layers += _blocks(width, depths[level], level in attention_levels, head_dim, **same)
        self.layers = nnx.List(layers)
        self.norm_out = PixelNorm(channels[0])
        self.conv_out = _conv(channels[0], out_channels, **same)

    def __call__(
        self, z: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, Any]]:
        """Decode a chunk of latents; with `cache`, the next one of a clip."""
        del remat
        x = self.conv_in(z, cache)
        x = x + repeat_channels(z, self.width).astype(x.dtype)
        for layer in self.layers:
            x = layer(x, cache)
        return self.conv_out(nnx.relu(self.norm_out(x)), cache).astype(jnp.float32), {}


def _configure(
    network: Any,
    channels: Sequence[int],
    depths: Sequence[int],
    attention_levels: Sequence[int],
    in_time: Sequence[bool],
    chunk: int,
) -> None:
    """Set the factors and windows of a network. Raises ConfigError."""
    check_levels(channels, depths, attention_levels)
    if len(in_time) != len(channels) - 1:
        raise ConfigError(
            f"video.dc_ae: in_time={tuple(in_time)} must say of each of the {len(channels) - 1} "
            "halvings whether time is halved"
        )
    network.spatial_factor = 2 ** len(in_time)
    network.temporal_factor = 2 ** sum(in_time)
    if chunk < 1 or chunk % network.temporal_factor:
        raise ConfigError(
            f"video.dc_ae: chunk={chunk} must be a multiple of {network.temporal_factor}, the "
            "frames of a latent"
        )
    network.windows = Windows(size=chunk, stride=chunk, factor=network.temporal_factor)


def _blocks(
    width: int, depth: int, attends: bool, head_dim: int, *, rngs: nnx.Rngs, dtype: Any
) -> list[ResBlock | AttentionBlock]:
    same: Any = dict(rngs=rngs, dtype=dtype)
    if attends:
        return [AttentionBlock(width, head_dim, **same) for _ in range(depth)]
    return [ResBlock(width, **same) for _ in range(depth)]


def _conv(width: int, out: int, rngs: nnx.Rngs, dtype: Any) -> ChunkConv3d:
    return ChunkConv3d(width, out, 3, key=rngs.params(), dtype=dtype)
