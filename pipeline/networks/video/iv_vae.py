"""The encoder and decoder of IV-VAE (arXiv 2411.06449): half of the channels see single frames.

Every convolution is two side by side, one within frames and one over time, whose outputs are the
two halves of the channels; norms and attention see one half. Convolutions over time are causal by
groups: they see the last frame of the group before, and zeros behind the group, and groups are the
4, 2 or 1 frames of a latent. Time is compressed around key frames: the first half keeps the first
frame of each group, and the second half merges them. Frame 0 is a group of its own, so that clips
of 1 + 4k frames become 1 + k latents, chunks of whole latents are exact in both directions, and
the latent of an image is the first one of its clip.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from pipeline.backend.halo import with_halo_exchange
from pipeline.networks.video.residual import Clip
from pipeline.nn.attention import SpatialAttention
from pipeline.nn.cache import CausalCache, starts_clip, with_context
from pipeline.nn.conv import Conv, UpsamplingConv
from pipeline.nn.conv3d import CausalConv3d, convolve_3d
from pipeline.nn.norm import RMSNorm
from pipeline.nn.remat import run

_EPS = 1e-24  # only keeps 0 / 0 away: the authors divide by the norm itself
GROUP = 4  # frames of a latent
_DILATIONS = (3, 6, 9, 12)


class FrameConv(Conv):
    """A convolution within frames, called as those over time are."""

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        del cache
        return super().__call__(x)


class DilatedConv(FrameConv):
    """A 3x3 convolution within frames, of pixels that are `dilation` apart."""

    def __init__(self, width: int, out: int, dilation: int, **settings: Any):
        super().__init__(width, out, 3, **settings)
        self.dilation = dilation

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        del cache
        steps = (self.dilation, self.dilation)
        names = ("NHWC", "HWIO", "NHWC")

        def layer(kernel: Any, x: Any) -> Any:
            return lax.conv_general_dilated(
                x, kernel, (1, 1), [steps, steps], rhs_dilation=steps, dimension_numbers=names
            )

        frames = x.astype(self.dtype).reshape(-1, *x.shape[2:])
        kernel = self.weight().astype(self.dtype)
        y = with_halo_exchange(layer, kernel, frames, halo=self.dilation)
        y = y.reshape(*x.shape[:-1], y.shape[-1])
        return y if self.bias is None else y + self.bias[...].astype(self.dtype)


class GroupConv(CausalConv3d):
    """A 3x3x3 convolution that is causal by groups of `group` frames; frame 0 is one of its own."""

    def __init__(self, width: int, out: int, group: int, **settings: Any):
        super().__init__(width, out, 3, **settings)
        self.group = group

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        x, first = x.astype(self.dtype), starts_clip(cache)
        joined = with_context(cache, x, lambda x: x[:, :1], keep=1)
        if not first:
            return self._groups(joined)
        head = self._convolved(joined[:, :2])
        return head if x.shape[1] == 1 else jnp.concatenate([head, self._groups(joined[:, 1:])], 1)

    def _groups(self, x: Clip) -> Clip:
        """Return the output of whole groups, with the last frame before them in front."""
        b, t, *rest = x.shape
        groups = (t - 1) // self.group
        before = x[:, :-1].reshape(b, groups, self.group, *rest)[:, :, :1]
        own = x[:, 1:].reshape(b, groups, self.group, *rest)
        seen = jnp.concatenate([before, own], axis=2).reshape(b * groups, 1 + self.group, *rest)
        return self._convolved(seen).reshape(b, t - 1, *rest[:2], -1)

    def _convolved(self, x: Clip) -> Clip:
        kernel, bias = (each[...].astype(self.dtype) for each in (self.kernel, self.bias))
        behind = jnp.zeros_like(x[:, :1])
        return convolve_3d(jnp.concatenate([x, behind], axis=1), kernel, (1, 1, 1), bias)


class HalvesNorm(nnx.Module):
    """RMS norm of each half of a pixel's channels, then a scale."""

    def __init__(self, width: int):
        self.norm = RMSNorm(width, eps=_EPS, scale=False)
        self.scale = nnx.Param(jnp.ones((2 * width,), jnp.float32))

    def __call__(self, x: Clip) -> Clip:
        halves = self.norm(x.astype(jnp.float32).reshape(*x.shape[:-1], 2, -1))
        return (halves.reshape(x.shape) * self.scale[...]).astype(x.dtype)


class Both(nnx.Module):
    """Two layers of the same input side by side; their outputs are the halves of the channels."""

    def __init__(self, flat: Any, deep: Any):
        self.flat, self.deep = flat, deep

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        return jnp.concatenate([self.flat(x, cache), self.deep(x, cache)], axis=-1)


class Halves(Both):
    """Two layers, one for each half of the channels."""

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        del cache
        flat, deep = jnp.split(x, 2, axis=-1)
        return jnp.concatenate([self.flat(flat), self.deep(deep)], axis=-1)


class Block(nnx.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))); `group` is None for convolutions within frames."""

    def __init__(self, width: int, out: int, group: int | None, make: "Layers"):
        self.norm1, self.conv1 = HalvesNorm(width), make.conv(2 * width, out, group)
        self.norm2, self.conv2 = HalvesNorm(out), make.conv(2 * out, out, group)
        within = group is None
        self.shortcut = make.pointwise(2 * width, out, within) if width != out else None

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        h = self.conv1(jax.nn.silu(self.norm1(x)), cache)
        h = self.conv2(jax.nn.silu(self.norm2(h)), cache)
        return h + (x if self.shortcut is None else self.shortcut(x, cache))


class Down(nnx.Module):
    """Half the height and width; in time, the first half keeps the first frame of each two, and the
    second half merges them. Frame 0 stays.
    """

    def __init__(self, width: int, in_time: bool, make: "Layers"):
        self.space = Halves(*(make.within(width, width, 3, stride=2) for _ in range(2)))
        self.time = make.over_time(width, width, (2, 1, 1)) if in_time else None

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        x = self.space(x)
        if self.time is None:
            return x
        head, rest = (x[:, :1], x[:, 1:]) if starts_clip(cache) else (x[:, :0], x)
        if not rest.shape[1]:
            return head
        flat, deep = jnp.split(rest, 2, axis=-1)
        kernel, bias = (each[...].astype(deep.dtype) for each in (self.time.kernel, self.time.bias))
        merged = convolve_3d(deep, kernel, (2, 1, 1), bias)
        halved = jnp.concatenate([flat[:, ::2], merged], axis=-1)
        return jnp.concatenate([head, halved], axis=1)


class Up(nnx.Module):
    """Twice the height and width with half the channels; in time, the first half repeats frames,
    and the second half becomes two by a 1x1 convolution. Frame 0 stays.
    """

    def __init__(self, width: int, in_time: bool, make: "Layers"):
        self.time = make.within(width, 2 * width, 1) if in_time else None
        self.space = Halves(*(make.upsampling(width, width // 2) for _ in range(2)))

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        if self.time is not None:
            head, rest = (x[:, :1], x[:, 1:]) if starts_clip(cache) else (x[:, :0], x)
            flat, deep = jnp.split(rest, 2, axis=-1)
            b, t, h, w, c = deep.shape
            pairs = self.time(deep).reshape(b, t, h, w, 2, c).transpose(0, 1, 4, 2, 3, 5)
            doubled = [jnp.repeat(flat, 2, axis=1), pairs.reshape(b, 2 * t, h, w, c)]
            x = jnp.concatenate([head, jnp.concatenate(doubled, axis=-1)], axis=1)
        return self.space(x)


class Pyramid(nnx.Module):
    """Convolutions with several distances between pixels, of which a 1x1 convolution makes one."""

    def __init__(self, width: int, out: int, make: "Layers"):
        plain = [make.within(2 * width, 2 * out, size) for size in (1, 3)]
        dilated = [make.dilated(2 * width, 2 * out, each) for each in _DILATIONS]
        self.branches = nnx.List([*plain, *dilated])
        self.conv = make.within(12 * out, 2 * out, 1)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        del cache
        halves = [jnp.split(branch(x), 2, axis=-1) for branch in self.branches]
        flat, deep = zip(*halves)
        return self.conv(jnp.concatenate([*flat, *deep], axis=-1))


class Layers:
    """The factory of one network's layers; widths are those of one half."""

    def __init__(self, rngs: nnx.Rngs, dtype: Any):
        self.rngs, self.dtype = rngs, dtype

    def within(self, width: int, out: int, size: int, **settings: Any) -> FrameConv:
        return FrameConv(width, out, size, bias_scale=1.0, **settings, **self._given())

    def dilated(self, width: int, out: int, dilation: int) -> DilatedConv:
        return DilatedConv(width, out, dilation, bias_scale=1.0, **self._given())

    def upsampling(self, width: int, out: int) -> UpsamplingConv:
        return UpsamplingConv(width, out, bias_scale=1.0, **self._given())

    def over_time(self, width: int, out: int, size: tuple[int, int, int]) -> CausalConv3d:
        return CausalConv3d(width, out, size, **self._given())

    def conv(self, inputs: int, out: int, group: int | None) -> FrameConv | Both:
        if group is None:
            return self.within(inputs, 2 * out, 3)
        return Both(self.within(inputs, out, 3), GroupConv(inputs, out, group, **self._given()))

    def pointwise(self, inputs: int, out: int, within: bool) -> FrameConv | Both:
        if within:
            return self.within(inputs, 2 * out, 1)
        return Both(self.within(inputs, out, 1), self.within(inputs, out, 1))

    def attention(self, width: int) -> Halves:
        def one() -> SpatialAttention:
            norm = RMSNorm(width, eps=_EPS)
            return SpatialAttention(width, norm=norm, rngs=self.rngs, dtype=self.dtype)

        return Halves(one(), one())

    def middle(self, width: int) -> Any:
        blocks = [Block(width, width, None, self) for _ in range(2)]
        return nnx.List([blocks[0], self.attention(width), blocks[1]])

    def _given(self) -> dict[str, Any]:
        return dict(key=self.rngs.params(), dtype=self.dtype)


class Encoder(nnx.Module):
    """Clips [b 1+4t h w c] in [-1, 1] -> features [b 1+t h/8 w/8 d].

    Args:
      width: channels of each half at the clip's resolution; lower ones have 2, 4 and 4 times that.
      num_blocks: residual blocks at each resolution.
    """

    is_video, causal, spatial_factor, temporal_factor = True, True, 8, GROUP

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        num_blocks: int = 2,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.out_channels, make = out_channels, Layers(rngs, dtype)
        self.conv_in = make.conv(in_channels, width, GROUP)
        widths = [width, width, 2 * width, 4 * width, 4 * width]
        layers: list[Any] = []
        for level, (last, out, group) in enumerate(zip(widths, widths[1:], (4, 4, 2, None))):
            for number in range(num_blocks):
                layers.append(Block(out if number else last, out, group, make))
                if group is None:
                    layers.append(make.attention(out))
            if group is not None:
                layers.append(Down(out, level > 0, make))
            if level == 2:
                layers.append(make.attention(out))
        self.layers, self.middle = nnx.List(layers), make.middle(widths[-1])
        self.norm_out = HalvesNorm(widths[-1])
        self.conv_out = Pyramid(widths[-1], out_channels // 2, make)

    def __call__(
        self, x: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, Any]]:
        x = self.conv_in(x, cache)
        for layer in (*self.layers, *self.middle):
            x = run(layer, x, cache, remat=remat)
        return self.conv_out(jax.nn.silu(self.norm_out(x))), {}


class Decoder(nnx.Module):
    """Latents [b 1+t h w d] -> clips [b 1+4t 8h 8w c] around [-1, 1].

    The first frame of each group comes from the half within frames, and the others from the half
    over time.

    Args:
      width: as the encoder's.
      num_blocks: residual blocks at each resolution.
    """

    is_video, causal, spatial_factor, temporal_factor = True, True, 8, GROUP
    last_layer = "conv_out.deep.kernel"

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        num_blocks: int = 3,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.out_channels, make = out_channels, Layers(rngs, dtype)
        self.conv_in = make.within(in_channels, 8 * width, 3)
        self.middle = make.middle(4 * width)
        layers: list[Any] = []
        # A doubling halves the channels.
        sizes = ((4, 4, None, True), (2, 4, 2, True), (2, 2, 4, False), (1, 1, 4, None))
        for last, out, group, in_time in sizes:
            for number in range(num_blocks):
                layers.append(Block((out if number else last) * width, out * width, group, make))
                if group is None:
                    layers.append(make.attention(out * width))
            if in_time is not None:
                layers.append(Up(out * width, in_time, make))
        self.layers = nnx.List(layers)
        self.norm_out = HalvesNorm(width)
        self.conv_out = make.conv(2 * width, out_channels, GROUP)

    def __call__(
        self, z: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, Any]]:
        x = self.conv_in(z)
        for layer in (*self.middle, *self.layers):
            x = run(layer, x, cache, remat=remat)
        x = self.conv_out(jax.nn.silu(self.norm_out(x)), cache).astype(jnp.float32)
        key, others = jnp.split(x, 2, axis=-1)
        # Frame 0 is a group of its own; each later group begins with a key frame.
        first = starts_clip(cache)
        places = jnp.arange(x.shape[1]) - (1 if first else 0)
        is_key = (places % GROUP == 0) | (places < 0)
        return jnp.where(is_key[:, None, None, None], key, others), {}
