"""2-D convolution of feature maps [b h w c]; here, and in depthwise.py, the backend chooses how."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.backend import cpu_schedule, target
from pipeline.backend.halo import with_halo_exchange
from pipeline.nn import init

Padding = tuple[int, int]


class Conv(nnx.Module):
    """A convolution with float32 parameters, computed in `dtype`.

    With stride 1 it keeps height and width. With stride 2 it halves them, which are even: the zeros are a row below
    and a column at the right unless `padding`, rows before and after, says otherwise.

    The kernel [height, width, in, out] starts as torch's default does, uniform in +-sqrt(1 / fan_in), here times
    `init_scale`. The bias starts uniform in `bias_scale` times that, which in torch is 1; None is no bias.
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
        # Made before it is a variable: under eval_shape, setting one takes longer the more there are.
        bias = jnp.zeros((out_features,), jnp.float32)
        if bias_scale:
            bias = init.uniform(jax.random.fold_in(key, 1), (out_features,), bias_scale * bound)
        self.bias = None if bias_scale is None else nnx.Param(bias)
        self.stride, self.padding, self.dtype = stride, padding, dtype

    def __call__(self, *inputs: Float[Array, "b *t h w _"]) -> Float[Array, "b *t h2 w2 d"]:
        """Several inputs count as one, joined along channels: each meets its part of the kernel, uncopied."""
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
        """The kernel as it is applied, float32; a kind of layer may make another one of its parameters."""
        return self.kernel[...]


class UpsamplingConv(Conv):
    """A 3x3 convolution of the image enlarged to twice its height and width, each pixel repeated.

    It is computed from the image as it was: each of the four pixels that one becomes sees 2x2 of them, through the
    sums of the kernel's rows and columns that fall on the same pixel. That is 4/9 of the work.
    """

    def __init__(self, in_features: int, out_features: int, **settings: Any):
        super().__init__(in_features, out_features, 3, **settings)

    def __call__(self, *inputs: Float[Array, "b *t h w _"]) -> Float[Array, "b *t h2 w2 d"]:
        x = inputs[0] if len(inputs) == 1 else jnp.concatenate(inputs, axis=-1)
        out = upsampling_convolve(x.astype(self.dtype), self.weight().astype(self.dtype))
        return out if self.bias is None else out + self.bias[...].astype(self.dtype)


def convolve(
    x: Float[Array, "b *t h w c"],
    kernel: Float[Array, "u v c d"],
    stride: int = 1,
    padding: Padding | None = None,
    bias: Float[Array, " d"] | None = None,
) -> Float[Array, "b *t h2 w2 d"]:
    """Cross-correlation with zeros around each image, as every deep-learning library's convolution.

    Unless `padding` (before and after, of rows and columns alike) says otherwise, an odd kernel of stride 1 keeps
    height and width, and one of stride 2 has all of its zeros at the end.
    """
    size = kernel.shape[0]
    if padding is None:
        padding = (size // 2, size // 2) if stride == 1 else (0, max(0, size - stride))
    before_and_after = padding

    def layer(weights: Any, x: Array) -> Array:
        kernel, bias = weights
        return lowered(x, kernel, stride, (before_and_after, before_and_after), bias)

    return _of_images(
        lambda x: with_halo_exchange(
            layer, (kernel, bias), x, halo=-(-(size // 2) // stride) * stride
        ),
        x,
    )


def upsampling_convolve(
    x: Float[Array, "b *t h w c"], kernel: Float[Array, "3 3 c d"]
) -> Float[Array, "b *t h2 w2 d"]:
    """`convolve` of x with each of its pixels repeated twice both ways; see UpsamplingConv."""
    return _of_images(
        lambda x: with_halo_exchange(lambda kernel, x: _upsampling(x, kernel), kernel, x, halo=1), x
    )


def _of_images(function: Callable[[Array], Array], x: Array) -> Array:
    """Clips are taken as so many images."""
    if x.ndim == 4:
        return function(x)
    out = function(x.reshape(-1, *x.shape[-3:]))
    return out.reshape(*x.shape[:-3], *out.shape[1:])


def _upsampling(x: Array, kernel: Array) -> Array:
    b, h, w, _ = x.shape
    rows = []
    for row, row_padding in ((_first_pair(kernel, 0), (1, 0)), (_second_pair(kernel, 0), (0, 1))):
        cells = [
            lowered(x, part, 1, (row_padding, padding))
            for part, padding in ((_first_pair(row, 1), (1, 0)), (_second_pair(row, 1), (0, 1)))
        ]
        rows.append(jnp.stack(cells, axis=3))
    return jnp.stack(rows, axis=2).reshape(b, 2 * h, 2 * w, kernel.shape[-1])


def _first_pair(kernel: Array, axis: int) -> Array:
    """What the first of two equal pixels sees along `axis`: of its three taps the last two fall on itself."""
    first, rest = jnp.split(kernel, [1], axis=axis)
    return jnp.concatenate([first, rest.sum(axis=axis, keepdims=True)], axis=axis)


def _second_pair(kernel: Array, axis: int) -> Array:
    rest, last = jnp.split(kernel, [2], axis=axis)
    return jnp.concatenate([rest.sum(axis=axis, keepdims=True), last], axis=axis)


def lowered(
    x: Array,
    kernel: Array,
    stride: int,
    padding: tuple[Padding, Padding],
    bias: Array | None = None,
) -> Array:
    """Of the images [b h w c] that one device holds, in the way that suits its backend; `padding` of rows, columns."""
    if target.backend() == "cpu":
        return _on_cpu(stride, padding, x, kernel, bias)
    return _biased(_general(x, kernel, stride, padding), bias)


def _biased(x: Array, bias: Array | None) -> Array:
    return x if bias is None else x + bias


def _general(x: Array, kernel: Array, stride: int, padding: tuple[Padding, Padding]) -> Array:
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


# On the CPU a 1x1 convolution is slower than the same matrix product, and the weights' gradients are what XLA is
# worst at. From 384 to 96 channels at 4x32x32 a 1x1 takes 1.7 ms forward and 8.8 ms for its gradients, against 0.7
# and 1.8 as products; the weights' gradient of a 3x3 of 96 channels takes 4.2 ms, against 2.4.


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _on_cpu(
    stride: int,
    padding: tuple[Padding, Padding],
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "u v c d"],
    bias: Float[Array, " d"] | None,
) -> Float[Array, "b h2 w2 d"]:
    if _is_product(kernel.shape, stride, padding):
        return _biased(x @ kernel[0, 0], bias)
    return _biased(_general(x, kernel, stride, padding), bias)


def _forward(
    stride: int, padding: tuple[Padding, Padding], x: Array, kernel: Array, bias: Array | None
) -> tuple[Array, Any]:
    return _on_cpu(stride, padding, x, kernel, bias), (x, kernel, bias)


def _backward(
    stride: int, padding: tuple[Padding, Padding], saved: Any, grad: Array
) -> tuple[Array, Array, Array | None]:
    x, kernel, bias = saved
    product, of_bias = (
        kernel_gradient(x, grad, kernel.shape, stride, padding),
        bias_gradient(bias, grad),
    )
    kernel = after_gradients(kernel, [product], of_bias)
    return input_gradient(x.shape, grad, kernel, stride, padding), product, of_bias


_on_cpu.defvjp(_forward, _backward)


def input_gradient(
    shape: tuple[int, ...],
    grad: Array,
    kernel: Array,
    stride: int,
    padding: tuple[Padding, Padding],
) -> Float[Array, "b h w c"]:
    """That of `lowered` on a CPU, whose input has this shape."""
    if _is_product(kernel.shape, stride, padding):
        return grad @ kernel[0, 0].T
    if stride > 1:
        return _strided_input_gradient(shape, grad, kernel, stride, padding)
    sides = [
        (size - 1 - before, size - 1 - after)
        for size, (before, after) in zip(kernel.shape, padding)
    ]
    return _general(grad, jnp.flip(kernel, (0, 1)).swapaxes(2, 3), 1, (sides[0], sides[1]))


def kernel_gradient(
    x: Array, grad: Array, shape: tuple[int, ...], stride: int, padding: tuple[Padding, Padding]
) -> Float[Array, "u v c d"]:
    """That of `lowered` on a CPU, whose kernel has this shape."""
    if _is_product(shape, stride, padding):
        return _transposed_product(x.reshape(-1, x.shape[-1]), grad.reshape(-1, grad.shape[-1]))[
            None, None
        ]
    compute = _strided_kernel_gradient if stride > 1 else _unstrided_kernel_gradient
    return compute(x, grad, shape, stride, padding)


def _is_product(shape: tuple[int, ...], stride: int, padding: tuple[Padding, Padding]) -> bool:
    """Whether a kernel of this shape meets each pixel by itself."""
    return shape[:2] == (1, 1) and stride == 1 and padding == ((0, 0), (0, 0))


def bias_gradient(bias: Array | None, grad: Float[Array, "*n d"]) -> Float[Array, " d"] | None:
    """None where there is no bias."""
    return (
        None
        if bias is None
        else cpu_schedule.sum_of_all(grad.astype(jnp.float32)).astype(bias.dtype)
    )


def after_gradients(kernel: Array, products: list[Array], of_bias: Array | None) -> Array:
    """The kernel, for the gradient of a convolution's input."""
    return cpu_schedule.after(products if of_bias is None else [*products, of_bias], kernel)


def _transposed_product(a: Float[Array, "n c"], b: Float[Array, "n d"]) -> Float[Array, "c d"]:
    """a.T @ b. The side that gets transposed costs a pass over it, so it is the narrower one."""
    if a.shape[1] <= b.shape[1]:
        return a.T @ b
    # The barrier keeps XLA from turning it back.
    return lax.optimization_barrier(b.T @ a).T


def _unstrided_kernel_gradient(
    x: Array, grad: Array, shape: tuple[int, ...], stride: int, padding: tuple[Padding, Padding]
) -> Array:
    """One product of x at the kernel's columns with grad at its rows, instead of x at all taps with grad.

    Of large maps it is a sum over parts of some rows each: what is copied for one then stays in the cache.
    """
    del stride
    rows, columns, c, d = shape
    (above, _), sides = padding
    h = x.shape[1]
    # Tap u of row r of x meets row r + above - u of grad, if there is one.
    before, after = rows - 1 - above, h + above - grad.shape[1]
    grad = jnp.pad(grad, [(0, 0), (before, after), (0, 0), (0, 0)])
    part = _rows_at_once(x.shape, x.size * columns + grad.size * rows)

    def of_part(index: Any) -> Array:
        start = index * part
        seen = jnp.pad(lax.dynamic_slice_in_dim(x, start, part, 1), [(0, 0), (0, 0), sides, (0, 0)])
        across = _windows(seen, range(columns), grad.shape[2], axis=2).reshape(-1, columns * c)
        near = lax.dynamic_slice_in_dim(grad, start, part + rows - 1, 1)
        down = _windows(near, range(rows)[::-1], part, axis=1).reshape(-1, rows * d)
        # A sum in half precision would stop growing.
        return jnp.matmul(across.T, down, preferred_element_type=jnp.float32)

    product = of_part(0)
    if part < h:
        product = lax.fori_loop(1, h // part, lambda index, total: total + of_part(index), product)
    return product.astype(x.dtype).reshape(columns, c, rows, d).transpose(2, 0, 1, 3)


def _rows_at_once(shape: tuple[int, ...], copied: int) -> int:
    """All rows where the copies are small, else as many as about a thousand pixels are, a divisor of the height."""
    b, h, w, _ = shape
    if copied < 4 << 20:
        return h
    divisors = [rows for rows in range(1, h + 1) if h % rows == 0 and b * rows * w <= 1024]
    # With few pixels a part, the products would be thin.
    return divisors[-1] if divisors and b * divisors[-1] * w >= 256 else h


def _windows(
    x: Float[Array, "b h w c"], starts: range, length: int, axis: int
) -> Float[Array, "b h2 w2 u c"]:
    """x from each of `starts` on along `axis`."""
    return jnp.stack(
        [lax.slice_in_dim(x, start, start + length, axis=axis) for start in starts], axis=3
    )


def _strided_input_gradient(
    shape: tuple[int, ...],
    grad: Array,
    kernel: Array,
    stride: int,
    padding: tuple[Padding, Padding],
) -> Array:
    """Of each of the stride**2 phases of the input's pixels apart: XLA is slow at convolutions of dilated inputs."""
    (above, below), (left, right) = padding
    rows = []
    for row in range(stride):
        cells = []
        for column in range(stride):
            part = kernel[row::stride, column::stride]
            taps = part.shape[:2]
            one = _general(
                grad,
                jnp.flip(part, (0, 1)).swapaxes(2, 3),
                1,
                # Of the padded input, whose length need not be a multiple of the stride.
                (
                    (taps[0] - 1, -(-(shape[1] + above + below - row) // stride) - grad.shape[1]),
                    (taps[1] - 1, -(-(shape[2] + left + right - column) // stride) - grad.shape[2]),
                ),
            )
            cells.append(one)
        rows.append(_interleave(cells, axis=2))
    padded = _interleave(rows, axis=1)
    return padded[:, above : above + shape[1], left : left + shape[2]]


def _interleave(phases: list[Array], axis: int) -> Array:
    """The inverse of taking every n-th from each of n starts; the first phases may have one more than the last."""
    length = phases[0].shape[axis]
    widths = [
        [(0, length - phase.shape[axis]) if a == axis else (0, 0) for a in range(4)]
        for phase in phases
    ]
    joined = jnp.stack(
        [jnp.pad(phase, width) for phase, width in zip(phases, widths)], axis=axis + 1
    )
    whole = joined.reshape(*joined.shape[:axis], -1, *joined.shape[axis + 2 :])
    return lax.slice_in_dim(whole, 0, sum(phase.shape[axis] for phase in phases), axis=axis)


def _strided_kernel_gradient(
    x: Array, grad: Array, shape: tuple[int, ...], stride: int, padding: tuple[Padding, Padding]
) -> Array:
    rows, columns, c, d = shape
    padded = jnp.pad(x, [(0, 0), *padding, (0, 0)])
    b, h, w, _ = grad.shape
    flat = grad.reshape(-1, d)

    def seen(row: int, column: int) -> Array:
        """x as one tap sees it."""
        ends = (b, row + stride * (h - 1) + 1, column + stride * (w - 1) + 1, c)
        return lax.slice(padded, (0, row, column, 0), ends, (1, stride, stride, 1))

    products = []
    for row in range(rows):
        across = jnp.stack([seen(row, column) for column in range(columns)], axis=3).reshape(
            -1, columns * c
        )
        products.append(_transposed_product(across, flat).reshape(columns, c, d))
    return jnp.stack(products)
