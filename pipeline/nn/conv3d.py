"""Convolution of clips [b t h w c], and the causal one: a frame of its output sees its own and those before it."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.backend import target
from pipeline.backend.halo import with_halo_exchange
from pipeline.core.errors import ConfigError
from pipeline.nn import conv, init
from pipeline.nn.cache import CausalCache, starts_clip

Stride = tuple[int, int, int]
# Frames, rows or columns of zeros before and after, of (time, height, width).
Padding = tuple[conv.Padding, conv.Padding, conv.Padding]
PADDINGS = ("replicate", "first_frame", "zeros")


class CausalConv3d(nnx.Module):
    """A convolution in time and space; float32 parameters, computed in `dtype`.

    In time there are kernel - 1 frames in front of a clip: copies of its first one (time_padding="replicate", or
    "first_frame": before a clip there is nothing else to repeat, and codecs that say one or the other do the same), or
    "zeros". So 1 + 2k frames become 1 + k with stride 2 in time, and all of the first frame's output comes from that
    frame alone. Whatever time_padding is, in space there are zeros around a frame, and no copies of its edge: as many
    as keep height and width, or with stride 2 one row below and one column at the right.

    The kernel [time, height, width, in, out] starts as torch's default does, uniform in +-sqrt(1 / fan_in), here
    times `init_scale`; the bias starts at zero.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int | tuple[int, int, int] = 3,
        *,
        stride: int | tuple[int, int, int] = 1,
        time_padding: str = "replicate",
        init_scale: float = 1.0,
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        if time_padding not in PADDINGS:
            raise ConfigError(f"time_padding={time_padding!r} must be one of {', '.join(PADDINGS)}")
        size = (kernel_size,) * 3 if isinstance(kernel_size, int) else tuple(kernel_size)
        bound = init_scale * (in_features * size[0] * size[1] * size[2]) ** -0.5
        shape = (*size, in_features, out_features)
        self.kernel = nnx.Param(init.uniform(key, shape, bound))
        self.bias = nnx.Param(jnp.zeros((out_features,), jnp.float32))
        self.stride = (stride,) * 3 if isinstance(stride, int) else tuple(stride)
        if size[0] < self.stride[0]:
            raise ConfigError(
                f"a kernel of {size[0]} frames would pass some over with stride {self.stride[0]} in time"
            )
        self.time_padding, self.dtype = time_padding, dtype

    def __call__(
        self, x: Float[Array, "b t h w c"], cache: CausalCache | None = None
    ) -> Float[Array, "b t2 h2 w2 d"]:
        """The whole clip, or with `past` the next 1 + k * stride frames of it (the first time), or k * stride.

        Raises:
          ValueError: another number of frames, of which some would be left out.
        """
        self._check_frames(x.shape[1], first=starts_clip(cache))
        kernel = self.kernel[...].astype(self.dtype)
        taps = kernel.shape[0]
        x = x.astype(self.dtype)
        if taps > 1:
            cache = cache or CausalCache()
            x = cache.prepend_context(
                x, lambda x: self._before(x, taps - 1), keep=taps - self.stride[0]
            )
        return convolve_3d(x, kernel, self.stride, self.bias[...].astype(self.dtype))

    def _check_frames(self, frames: int, *, first: bool) -> None:
        step = self.stride[0]
        if frames < 1 or (frames - first) % step:
            what = (
                f"a clip begins with 1 + k * {step} frames"
                if first
                else f"a later chunk has k * {step} frames"
            )
            raise ValueError(
                f"{what} where a convolution has stride {step} in time, and not {frames}"
            )

    def _before(self, x: Array, frames: int) -> Array:
        first = jnp.repeat(x[:, :1], frames, axis=1)
        return jnp.zeros_like(first) if self.time_padding == "zeros" else first


def convolve_3d(
    x: Float[Array, "b t h w c"],
    kernel: Float[Array, "u v s c d"],
    stride: Sequence[int] = (1, 1, 1),
    bias: Float[Array, " d"] | None = None,
    padding: Padding | None = None,
) -> Float[Array, "b t2 h2 w2 d"]:
    """Cross-correlation with `padding`; unless it is given, without any in time, and with zeros around each frame.

    With stride 2 in space these zeros are a row below and a column at the right, for an even height and width.
    """
    steps = (stride[0], stride[1], stride[2])
    zeros = ((0, 0), *_spatial_padding(kernel.shape, steps)) if padding is None else padding
    halo = kernel.shape[1] // 2 * stride[1]

    def layer(weights: Any, x: Array) -> Array:
        kernel, bias = weights
        return _convolve(x, kernel, bias, steps, zeros)

    return with_halo_exchange(layer, (kernel, bias), x, halo=halo)


def _convolve(
    x: Array, kernel: Array, bias: Array | None, stride: Stride, padding: Padding
) -> Array:
    if target.backend() == "cpu" and stride[1] == stride[2]:
        x = jnp.pad(x, [(0, 0), padding[0], *[(0, 0)] * 3]) if any(padding[0]) else x
        return _on_cpu(stride, (padding[1], padding[2]), x, kernel, bias)
    out = lax.conv_general_dilated(
        x, kernel, stride, padding, dimension_numbers=("NDHWC", "DHWIO", "NDHWC")
    )
    return out if bias is None else out + bias


def _spatial_padding(shape: tuple[int, ...], stride: Stride) -> tuple[conv.Padding, conv.Padding]:
    rows, columns = (
        (0, 1) if step == 2 else (size // 2, size // 2)
        for size, step in zip(shape[1:3], stride[1:])
    )
    return rows, columns


# A sum over the taps in time of convolutions of single frames: 2-D ones are what XLA's CPU backend is good at. Of 3x3x3
# taps from 128 to 128 channels on 9x32x32 that takes 50 ms, XLA's 3-D convolution 145 and torch's 62. Written as one
# operation, so that for the backward pass x is kept once and not for each tap.


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _on_cpu(
    stride: Stride,
    padding: tuple[conv.Padding, conv.Padding],
    x: Float[Array, "b t h w c"],
    kernel: Float[Array, "u v s c d"],
    bias: Float[Array, " d"] | None,
) -> Array:
    frames = _frames(stride, x, kernel)
    taps = [
        conv.lowered(_seen_by(tap, x, stride, frames), kernel[tap], stride[1], padding)
        for tap in range(len(kernel))
    ]
    out = functools.reduce(jnp.add, taps)
    out = out if bias is None else out + bias
    return out.reshape(x.shape[0], frames, *out.shape[1:])


def _forward(
    stride: Stride,
    padding: tuple[conv.Padding, conv.Padding],
    x: Array,
    kernel: Array,
    bias: Array | None,
) -> tuple[Array, Any]:
    return _on_cpu(stride, padding, x, kernel, bias), (x, kernel, bias)


def _backward(
    stride: Stride, padding: tuple[conv.Padding, conv.Padding], saved: Any, grad: Array
) -> tuple[Array, Array, Array | None]:
    x, kernel, bias = saved
    frames = _frames(stride, x, kernel)
    grad = grad.reshape(-1, *grad.shape[2:])
    products = []
    for tap in range(len(kernel)):
        seen = _seen_by(tap, x, stride, frames)
        products.append(conv.kernel_gradient(seen, grad, kernel.shape[1:], stride[1], padding))
    of_bias = conv.bias_gradient(bias, grad)
    kernel = conv.after_gradients(kernel, products, of_bias)
    of_x = jnp.zeros_like(x)
    for tap in range(len(kernel)):
        one = conv.input_gradient((len(grad), *x.shape[2:]), grad, kernel[tap], stride[1], padding)
        last = tap + (frames - 1) * stride[0] + 1
        config = [(0, 0, 0), (tap, x.shape[1] - last, stride[0] - 1), *[(0, 0, 0)] * 3]
        of_x = of_x + lax.pad(
            one.reshape(x.shape[0], frames, *x.shape[2:]), jnp.zeros((), x.dtype), config
        )
    return of_x, jnp.stack(products), of_bias


_on_cpu.defvjp(_forward, _backward)


def _frames(stride: Stride, x: Array, kernel: Array) -> int:
    return (x.shape[1] - len(kernel)) // stride[0] + 1


def _seen_by(tap: int, x: Array, stride: Stride, frames: int) -> Float[Array, "n h w c"]:
    part = lax.slice_in_dim(x, tap, tap + (frames - 1) * stride[0] + 1, stride[0], axis=1)
    return part.reshape(-1, *x.shape[2:])
