"""2-D convolution of feature maps [b h w c]; here and nowhere else, the backend chooses how."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray


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
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
