"""2-D convolution of feature maps [b h w c]; here and nowhere else, the backend chooses how."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.nn import target
from pipeline.nn.split import by_height


class Conv(nnx.Module):
    """A convolution of stride 1 that keeps height and width; float32 parameters, computed in `dtype`.

    The kernel [height, width, in, out] starts as torch's default does, uniform in +-sqrt(1 / fan_in), here
    times `init_scale`; the bias starts at zero.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int,
        *,
        init_scale: float = 1.0,
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        bound = init_scale * (in_features * kernel_size**2) ** -0.5
        shape = (kernel_size, kernel_size, in_features, out_features)
        self.kernel = nnx.Param(bound * jax.random.uniform(key, shape, jnp.float32, -1, 1))
        self.bias = nnx.Param(jnp.zeros((out_features,), jnp.float32))
        self.dtype = dtype

    def __call__(self, *inputs: Float[Array, "b h w _"]) -> Float[Array, "b h w d"]:
        """Several inputs count as one, joined along channels: each meets its part of the kernel, uncopied."""
        kernel = self.kernel[...].astype(self.dtype)
        ends = np.cumsum([x.shape[-1] for x in inputs])
        out = self.bias[...].astype(self.dtype)
        for x, end in zip(inputs, ends):
            part = kernel[:, :, end - x.shape[-1] : end]
            out = out + convolve(x.astype(self.dtype), part)
        return out


def convolve(x: Float[Array, "b h w c"], kernel: Float[Array, "u v c d"]) -> Float[Array, "b h w d"]:
    """Cross-correlation with zeros around the image, as every deep-learning library's convolution."""
    return by_height(_convolve, kernel, x, halo=kernel.shape[0] // 2)


def _convolve(kernel: Float[Array, "u v c d"], x: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
    if target.backend() != "cpu":
        return _general(x, kernel)
    if kernel.shape[:2] == (1, 1):
        b, h, w, _ = x.shape
        return _matmul(x.reshape(b * h * w, -1), kernel[0, 0]).reshape(b, h, w, -1)
    return _on_cpu(x, kernel)


def _general(x: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


# On the CPU a 1x1 convolution is slower than the same matrix product, and the weights' gradients are what XLA is
# worst at. From 384 to 96 channels at 4x32x32 a 1x1 takes 1.7 ms forward and 8.8 ms for its gradients, against 0.7
# and 1.8 as products; the weights' gradient of a 3x3 of 96 channels takes 4.2 ms, against 2.4.


@jax.custom_vjp
def _matmul(x: Float[Array, "n c"], kernel: Float[Array, "c d"]) -> Float[Array, "n d"]:
    return x @ kernel


def _matmul_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return x @ kernel, (x, kernel)


def _matmul_backward(saved: tuple[Array, Array], grad: Array) -> tuple[Array, Array]:
    x, kernel = saved
    return grad @ kernel.T, _transposed_product(x, grad)


_matmul.defvjp(_matmul_forward, _matmul_backward)


def _transposed_product(a: Float[Array, "n c"], b: Float[Array, "n d"]) -> Float[Array, "c d"]:
    """a.T @ b. The side that gets transposed costs a pass over it, so it is the narrower one."""
    if a.shape[1] <= b.shape[1]:
        return a.T @ b
    # The barrier keeps XLA from turning it back.
    return lax.optimization_barrier(b.T @ a).T


@jax.custom_vjp
def _on_cpu(x: Float[Array, "b h w c"], kernel: Float[Array, "u v c d"]) -> Float[Array, "b h w d"]:
    return _general(x, kernel)


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _general(x, kernel), (x, kernel)


def _backward(saved: tuple[Array, Array], grad: Array) -> tuple[Array, Array]:
    x, kernel = saved
    input_grad = _general(grad, jnp.flip(kernel, (0, 1)).swapaxes(2, 3))
    return input_grad, _kernel_gradient(x, grad, kernel.shape)


_on_cpu.defvjp(_forward, _backward)


def _kernel_gradient(x: Array, grad: Array, shape: tuple[int, ...]) -> Array:
    """One product of x at the kernel's columns with grad at its rows, instead of x at all taps with grad."""
    rows, columns, c, d = shape
    across = _shifts(x, range(columns), axis=2).reshape(-1, columns * c)
    down = _shifts(grad, range(rows)[::-1], axis=1).reshape(-1, rows * d)
    product = (across.T @ down).reshape(columns, c, rows, d)
    return product.transpose(2, 0, 1, 3)


def _shifts(x: Float[Array, "b h w c"], taps: range, axis: int) -> Float[Array, "b h w u c"]:
    """x as each of the taps, an odd number centred on it, sees it along `axis`, with zeros beyond the edge."""
    side = len(taps) // 2
    padded = jnp.pad(x, [(side, side) if a == axis else (0, 0) for a in range(4)])
    length = x.shape[axis]
    return jnp.stack([lax.slice_in_dim(padded, tap, tap + length, axis=axis) for tap in taps], axis=3)
