"""2-D convolution of the images that one device holds, lowered to suit its backend.

On the CPU, a 1x1 convolution is slower than the same matrix product, and kernel gradients are what
XLA is worst at. From 384 to 96 channels at 4x32x32, a 1x1 convolution takes 1.7 ms forward and 8.8
ms for its gradients, against 0.7 and 1.8 ms as products; the kernel gradient of a 3x3 convolution
of 96 channels takes 4.2 ms, against 2.4 ms here.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from pipeline.backend import cpu_schedule, target

# Zeros before and after, along one axis.
Padding = tuple[int, int]
# The padding of rows and of columns.
Padding2d = tuple[Padding, Padding]


def conv2d(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "u v c d"],
    stride: int,
    padding: Padding2d,
    bias: Float[Array, " d"] | None = None,
) -> Float[Array, "b h2 w2 d"]:
    """Return the cross-correlation of zero-padded images with `kernel`, plus `bias`."""
    if target.backend() == "cpu":
        return _cpu_conv2d(stride, padding, x, kernel, bias)
    return _add_bias(_xla_conv2d(x, kernel, stride, padding), bias)


def _add_bias(x: Array, bias: Array | None) -> Array:
    return x if bias is None else x + bias


def _xla_conv2d(x: Array, kernel: Array, stride: int, padding: Padding2d) -> Array:
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _cpu_conv2d(
    stride: int,
    padding: Padding2d,
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "u v c d"],
    bias: Float[Array, " d"] | None,
) -> Float[Array, "b h2 w2 d"]:
    if _is_product(kernel.shape, stride, padding):
        return _add_bias(x @ kernel[0, 0], bias)
    return _add_bias(_xla_conv2d(x, kernel, stride, padding), bias)


def _forward(
    stride: int, padding: Padding2d, x: Array, kernel: Array, bias: Array | None
) -> tuple[Array, Any]:
    return _cpu_conv2d(stride, padding, x, kernel, bias), (x, kernel, bias)


def _backward(
    stride: int, padding: Padding2d, saved: Any, grad: Array
) -> tuple[Array, Array, Array | None]:
    x, kernel, bias = saved
    kernel_grad = kernel_gradient(x, grad, kernel.shape, stride, padding)
    bias_grad = bias_gradient(bias, grad)
    kernel = after_gradients(kernel, [kernel_grad], bias_grad)
    return input_gradient(x.shape, grad, kernel, stride, padding), kernel_grad, bias_grad


_cpu_conv2d.defvjp(_forward, _backward)


def input_gradient(
    shape: tuple[int, ...], grad: Array, kernel: Array, stride: int, padding: Padding2d
) -> Float[Array, "b h w c"]:
    """Return the gradient of `conv2d` with respect to an input of `shape`, on the CPU."""
    if _is_product(kernel.shape, stride, padding):
        return grad @ kernel[0, 0].T
    if stride > 1:
        return _strided_input_gradient(shape, grad, kernel, stride, padding)
    rows, columns = (
        (size - 1 - before, size - 1 - after)
        for size, (before, after) in zip(kernel.shape, padding)
    )
    return _xla_conv2d(grad, jnp.flip(kernel, (0, 1)).swapaxes(2, 3), 1, (rows, columns))


def kernel_gradient(
    x: Array, grad: Array, shape: tuple[int, ...], stride: int, padding: Padding2d
) -> Float[Array, "u v c d"]:
    """Return the gradient of `conv2d` with respect to a kernel of `shape`, on the CPU."""
    if _is_product(shape, stride, padding):
        flat_x, flat_grad = x.reshape(-1, x.shape[-1]), grad.reshape(-1, grad.shape[-1])
        return _transposed_product(flat_x, flat_grad)[None, None]
    if stride > 1:
        return _strided_kernel_gradient(x, grad, shape, stride, padding)
    return _unstrided_kernel_gradient(x, grad, shape, padding)


def bias_gradient(bias: Array | None, grad: Float[Array, "*n d"]) -> Float[Array, " d"] | None:
    """Return the gradient with respect to `bias`, or None if there is no bias."""
    if bias is None:
        return None
    return cpu_schedule.sum_of_all(grad.astype(jnp.float32)).astype(bias.dtype)


def after_gradients(kernel: Array, kernel_grads: list[Array], bias_grad: Array | None) -> Array:
    """Return `kernel`, scheduled after the other gradients; pass it to `input_gradient`."""
    earlier = kernel_grads if bias_grad is None else [*kernel_grads, bias_grad]
    return cpu_schedule.after(earlier, kernel)


def _is_product(shape: tuple[int, ...], stride: int, padding: Padding2d) -> bool:
    """Return whether the convolution is a matrix product over channels."""
    return shape[:2] == (1, 1) and stride == 1 and padding == ((0, 0), (0, 0))


def _transposed_product(a: Float[Array, "n c"], b: Float[Array, "n d"]) -> Float[Array, "c d"]:
    """Return a.T @ b, transposing the narrower side: a transpose costs a pass over its operand."""
    if a.shape[1] <= b.shape[1]:
        return a.T @ b
    # The barrier keeps XLA from turning it back into a.T @ b.
    return lax.optimization_barrier(b.T @ a).T


def _unstrided_kernel_gradient(
    x: Array, grad: Array, shape: tuple[int, ...], padding: Padding2d
) -> Array:
    """Return one product of x at the kernel's columns with grad at the kernel's rows.

    It copies less than a product of x at every tap with grad. For large maps it is accumulated over
    blocks of rows, so that the copies of one block stay in the CPU's cache.
    """
    rows, columns, c, d = shape
    (above, _), sides = padding
    h = x.shape[1]
    # Tap u of row r of x meets row r + above - u of grad, if there is one.
    before, after = rows - 1 - above, h + above - grad.shape[1]
    grad = jnp.pad(grad, [(0, 0), (before, after), (0, 0), (0, 0)])
    block = _rows_per_block(x.shape, x.size * columns + grad.size * rows)

    def block_product(index: Any) -> Array:
        start = index * block
        seen = jnp.pad(
            lax.dynamic_slice_in_dim(x, start, block, 1), [(0, 0), (0, 0), sides, (0, 0)]
        )
        across = _windows(seen, range(columns), grad.shape[2], axis=2).reshape(-1, columns * c)
        near = lax.dynamic_slice_in_dim(grad, start, block + rows - 1, 1)
        down = _windows(near, range(rows)[::-1], block, axis=1).reshape(-1, rows * d)
        # A sum in half precision would stop growing.
        return jnp.matmul(across.T, down, preferred_element_type=jnp.float32)

    product = block_product(0)
    if block < h:
        product = lax.fori_loop(
            1, h // block, lambda index, total: total + block_product(index), product
        )
    return product.astype(x.dtype).reshape(columns, c, rows, d).transpose(2, 0, 1, 3)


def _rows_per_block(shape: tuple[int, ...], copied: int) -> int:
    """Return the block height: all rows if few elements are `copied`, else about 1,024 pixels.

    The block height divides the image height.
    """
    b, h, w, _ = shape
    if copied < 4 << 20:
        return h
    divisors = [rows for rows in range(1, h + 1) if h % rows == 0 and b * rows * w <= 1024]
    # With few pixels a block, the products would be thin.
    return divisors[-1] if divisors and b * divisors[-1] * w >= 256 else h


def _windows(
    x: Float[Array, "b h w c"], starts: range, length: int, axis: int
) -> Float[Array, "b h2 w2 u c"]:
    """Stack the slices of `length` along `axis` that begin at each of `starts`."""
    return jnp.stack(
        [lax.slice_in_dim(x, start, start + length, axis=axis) for start in starts], axis=3
    )


def _strided_input_gradient(
    shape: tuple[int, ...], grad: Array, kernel: Array, stride: int, padding: Padding2d
) -> Array:
    """Compute each of the input's stride**2 phases separately.

    XLA is slow at convolutions of dilated inputs.
    """
    (above, below), (left, right) = padding
    rows = []
    for row in range(stride):
        cells = []
        for column in range(stride):
            taps = kernel[row::stride, column::stride]
            # The phase's length in the padded input, which need not be a multiple of the stride.
            height = -(-(shape[1] + above + below - row) // stride)
            width = -(-(shape[2] + left + right - column) // stride)
            cell = _xla_conv2d(
                grad,
                jnp.flip(taps, (0, 1)).swapaxes(2, 3),
                1,
                (
                    (taps.shape[0] - 1, height - grad.shape[1]),
                    (taps.shape[1] - 1, width - grad.shape[2]),
                ),
            )
            cells.append(cell)
        rows.append(_interleave(cells, axis=2))
    padded = _interleave(rows, axis=1)
    return padded[:, above : above + shape[1], left : left + shape[2]]


def _interleave(phases: list[Array], axis: int) -> Array:
    """Invert `[x[i::n] for i in range(n)]` along `axis`; later phases may be one shorter."""
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
    x: Array, grad: Array, shape: tuple[int, ...], stride: int, padding: Padding2d
) -> Array:
    """Return one product of x at a row of taps with grad, for each row of the kernel."""
    rows, columns, c, d = shape
    padded = jnp.pad(x, [(0, 0), *padding, (0, 0)])
    b, h, w, _ = grad.shape
    flat_grad = grad.reshape(-1, d)

    def seen_by_tap(row: int, column: int) -> Array:
        ends = (b, row + stride * (h - 1) + 1, column + stride * (w - 1) + 1, c)
        return lax.slice(padded, (0, row, column, 0), ends, (1, stride, stride, 1))

    products = []
    for row in range(rows):
        taps = [seen_by_tap(row, column) for column in range(columns)]
        across = jnp.stack(taps, axis=3).reshape(-1, columns * c)
        products.append(_transposed_product(across, flat_grad).reshape(columns, c, d))
    return jnp.stack(products)
