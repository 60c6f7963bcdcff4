"""2-D convolution of feature maps [b h w c] and of the frames of clips [b t h w c]."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.backend.conv2d import Padding, conv2d
from pipeline.backend.halo import with_halo_exchange
from pipeline.nn import init


class Conv(nnx.Module):
    """A convolution with float32 parameters, computed in `dtype`.

    With stride 1 it keeps height and width. With stride 2 it halves them; both must be even. The
    zeros are then a row below and a column at the right, unless `padding` (before and after) says
    otherwise.

    The kernel [height, width, in, out] is initialized as torch's default, uniform in +-sqrt(1 /
    fan_in), times `init_scale`. The bias is uniform in `bias_scale` times that bound (torch's
    default is 1); None means no bias.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: Padding | None = None,
        init_scale: float = 1.0,
        bias_scale: float | None = 0.0,
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        bound = init_scale * (in_features * kernel_size**2) ** -0.5
        shape = (kernel_size, kernel_size, in_features, out_features)
        self.kernel = nnx.Param(init.uniform(key, shape, bound))
        # Computed before it becomes a variable: under eval_shape, setting a variable takes longer
        # the more there are.
        bias = jnp.zeros((out_features,), jnp.float32)
        if bias_scale:
            bias = init.uniform(jax.random.fold_in(key, 1), (out_features,), bias_scale * bound)
        self.bias = None if bias_scale is None else nnx.Param(bias)
        self.stride, self.padding, self.dtype = stride, padding, dtype

    def __call__(self, *inputs: Float[Array, "b *t h w _"]) -> Float[Array, "b *t h2 w2 d"]:
        """Convolve the concatenation of `inputs` along channels, without copying them together."""
        kernel = self.weight().astype(self.dtype)
        ends = np.cumsum([x.shape[-1] for x in inputs])
        bias = None if self.bias is None else self.bias[...].astype(self.dtype)
        out = None
        for x, end in zip(inputs, ends):
            part = kernel[:, :, end - x.shape[-1] : end]
            one = convolve(
                x.astype(self.dtype), part, self.stride, self.padding, bias if out is None else None
            )
            out = one if out is None else out + one
        assert out is not None
        return out

    def weight(self) -> Float[Array, "u v c d"]:
        """Return the kernel as applied, in float32; subclasses may reparameterize it."""
        return self.kernel[...]


class UpsamplingConv(Conv):
    """A 3x3 convolution of the image after nearest-neighbor upsampling by two.

    It is computed from the image before upsampling: each output pixel depends on 2x2 input pixels,
    through sums of the kernel's rows and columns that fall on the same input pixel. That is 4/9 of
    the work.
    """

    def __init__(self, in_features: int, out_features: int, **settings: Any):
        super().__init__(in_features, out_features, 3, **settings)

    def __call__(self, *inputs: Float[Array, "b *t h w _"]) -> Float[Array, "b *t h2 w2 d"]:
        x = inputs[0] if len(inputs) == 1 else jnp.concatenate(inputs, axis=-1)
        out = upsampling_convolve(x.astype(self.dtype), self.weight().astype(self.dtype))
        return out if self.bias is None else out + self.bias[...].astype(self.dtype)


class TransposedConv(Conv):
    """A transposed 4x4 convolution of stride 2, which doubles height and width.

    kernel[u, v] times the input pixel (i, j) is added to the output's (2 i + u - 1, 2 j + v - 1).
    Each output pixel depends on 2x2 input pixels, and the default `init_scale` gives the kernel
    torch's default distribution for that many inputs.
    """

    def __init__(
        self, in_features: int, out_features: int, *, init_scale: float = 2.0, **settings: Any
    ):
        super().__init__(in_features, out_features, 4, init_scale=init_scale, **settings)

    def __call__(self, *inputs: Float[Array, "b *t h w _"]) -> Float[Array, "b *t h2 w2 d"]:
        x = inputs[0] if len(inputs) == 1 else jnp.concatenate(inputs, axis=-1)
        kernel = self.weight().astype(self.dtype)
        out = transposed_convolve(x.astype(self.dtype), kernel)
        return out if self.bias is None else out + self.bias[...].astype(self.dtype)


def convolve(
    x: Float[Array, "b *t h w c"],
    kernel: Float[Array, "u v c d"],
    stride: int = 1,
    padding: Padding | None = None,
    bias: Float[Array, " d"] | None = None,
) -> Float[Array, "b *t h2 w2 d"]:
    """Return the cross-correlation of each zero-padded image with `kernel`, plus `bias`.

    Args:
      padding: zeros before and after, for rows and columns alike. By default an odd kernel of
        stride 1 keeps height and width, and a strided one has all of its zeros at the end.
    """
    size = kernel.shape[0]
    if padding is None:
        padding = (size // 2, size // 2) if stride == 1 else (0, max(0, size - stride))
    before_and_after = padding

    def layer(weights: Any, x: Array) -> Array:
        kernel, bias = weights
        return conv2d(x, kernel, stride, (before_and_after, before_and_after), bias)

    return _per_image(
        lambda x: with_halo_exchange(
            layer, (kernel, bias), x, halo=-(-(size // 2) // stride) * stride
        ),
        x,
    )


def transposed_convolve(
    x: Float[Array, "b *t h w c"], kernel: Float[Array, "4 4 c d"]
) -> Float[Array, "b *t h2 w2 d"]:
    """Return the transposed convolution of stride 2, which doubles height and width.

    kernel[u, v] times the input pixel (i, j) is added to the output's (2 i + u - 1, 2 j + v - 1).
    """
    return _per_image(
        lambda x: with_halo_exchange(lambda kernel, x: _transposed(x, kernel), kernel, x, halo=1), x
    )


def upsampling_convolve(
    x: Float[Array, "b *t h w c"], kernel: Float[Array, "3 3 c d"]
) -> Float[Array, "b *t h2 w2 d"]:
    """Return `convolve` of x with each pixel repeated twice along height and width."""
    return _per_image(
        lambda x: with_halo_exchange(lambda kernel, x: _upsampling(x, kernel), kernel, x, halo=1), x
    )


def _per_image(function: Callable[[Array], Array], x: Array) -> Array:
    """Apply `function` to a batch of images, or to the frames of clips as one batch."""
    if x.ndim == 4:
        return function(x)
    out = function(x.reshape(-1, *x.shape[-3:]))
    return out.reshape(*x.shape[:-3], *out.shape[1:])


def _upsampling(x: Array, kernel: Array) -> Array:
    return _doubled(x, kernel, _even_taps, _odd_taps)


def _transposed(x: Array, kernel: Array) -> Array:
    def taps(last: int, first: int) -> Callable[[Array, int], Array]:
        return lambda kernel, axis: jnp.take(kernel, jnp.array([last, first]), axis=axis)

    return _doubled(x, kernel, taps(3, 1), taps(2, 0))


def _doubled(
    x: Array,
    kernel: Array,
    even: Callable[[Array, int], Array],
    odd: Callable[[Array, int], Array],
) -> Array:
    """Return an image of twice the size, whose even and odd rows and columns have two taps each."""
    b, h, w, _ = x.shape
    rows = []
    for row, row_padding in ((even(kernel, 0), (1, 0)), (odd(kernel, 0), (0, 1))):
        cells = [
            conv2d(x, part, 1, (row_padding, padding))
            for part, padding in ((even(row, 1), (1, 0)), (odd(row, 1), (0, 1)))
        ]
        rows.append(jnp.stack(cells, axis=3))
    return jnp.stack(rows, axis=2).reshape(b, 2 * h, 2 * w, kernel.shape[-1])


def _even_taps(kernel: Array, axis: int) -> Array:
    """Return the two taps of even output pixels: the last two of three fall on the same input."""
    first, rest = jnp.split(kernel, [1], axis=axis)
    return jnp.concatenate([first, rest.sum(axis=axis, keepdims=True)], axis=axis)


def _odd_taps(kernel: Array, axis: int) -> Array:
    """Return the two taps of odd output pixels: the first two of three fall on the same input."""
    rest, last = jnp.split(kernel, [2], axis=axis)
    return jnp.concatenate([rest.sum(axis=axis, keepdims=True), last], axis=axis)
