"""Depthwise convolution of the images that one device holds, lowered to suit its backend.

On the CPU, XLA's grouped convolution takes 463 ms for 5x5 on 4x64x64x192, and a sum of shifted
products takes 5 ms. Its kernel gradient takes 29 ms summed row by row, and 410 ms as one sum over
all pixels for each tap.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from pipeline.backend import target


def depthwise_conv2d(
    x: Float[Array, "b h w c"], kernel: Float[Array, "u v 1 c"]
) -> Float[Array, "b h w c"]:
    """Return the cross-correlation of each zero-padded channel with its own odd kernel."""
    if target.backend() == "cpu":
        return _cpu_depthwise(x, kernel)
    return lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


@jax.custom_vjp
def _cpu_depthwise(
    x: Float[Array, "b h w c"], kernel: Float[Array, "u v 1 c"]
) -> Float[Array, "b h w c"]:
    """Sum shifted products in float32."""
    (rows, columns), (b, h, w, c) = kernel.shape[:2], x.shape
    padded, out = _padded(x, kernel), None
    for row in range(rows):
        for column in range(columns):
            seen = lax.slice(padded, (0, row, column, 0), (b, row + h, column + w, c))
            product = seen.astype(jnp.float32) * kernel[row, column, 0].astype(jnp.float32)
            out = product if out is None else out + product
    assert out is not None
    return out.astype(x.dtype)


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _cpu_depthwise(x, kernel), (x, kernel)


def _backward(saved: tuple[Array, Array], grad: Array) -> tuple[Array, Array]:
    x, kernel = saved
    (rows, columns), (h, w) = kernel.shape[:2], x.shape[1:3]
    padded = _padded(x, kernel)

    def row_contribution(index: Any) -> Array:
        """Return what one row of `grad` adds to each tap of the kernel gradient."""
        grad_row = lax.dynamic_slice_in_dim(grad, index, 1, 1)[:, 0].astype(jnp.float32)
        seen = lax.dynamic_slice_in_dim(padded, index, rows, 1).astype(jnp.float32)
        taps = [
            [
                (seen[:, row, column : column + w] * grad_row).sum(axis=(0, 1))
                for column in range(columns)
            ]
            for row in range(rows)
        ]
        return jnp.stack([jnp.stack(row) for row in taps])

    total = lax.map(row_contribution, jnp.arange(h)).sum(axis=0)
    input_grad = _cpu_depthwise(grad, jnp.flip(kernel, (0, 1)))
    return input_grad, total[:, :, None].astype(kernel.dtype)


_cpu_depthwise.defvjp(_forward, _backward)


def _padded(x: Array, kernel: Array) -> Array:
    above, left = kernel.shape[0] // 2, kernel.shape[1] // 2
    return jnp.pad(x, ((0, 0), (above, above), (left, left), (0, 0)))
