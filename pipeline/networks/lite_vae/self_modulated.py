"""Convolutions that normalize their own kernel (LiteVAE, arXiv 2405.14477, section 4.2).

StyleGAN2 scales the input channels of a kernel by a style and divides each output channel by its
norm. Here the style is a learned vector of the layer, so that the features need no norm.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.nn.conv import Conv

_EPS = 1e-8  # of the squared norm of an output channel's kernel, after both factors are normalized


class SelfModulatedConv(Conv):
    """gain * w s / |w s|, with a learned scale s of each input channel, one gain, and a bias.

    The norm is over the kernel of an output channel. Neither the size of w nor that of s matters.
    """

    def __init__(self, in_features: int, out_features: int, kernel_size: int, **settings: Any):
        super().__init__(in_features, out_features, kernel_size, **settings)
        self.scales = nnx.Param(jnp.ones((in_features,), jnp.float32))
        self.gain = nnx.Param(jnp.ones((), jnp.float32))

    def weight(self) -> Float[Array, "u v c d"]:
        """Return the kernel as applied."""
        kernel, scales = self.kernel[...], self.scales[...]
        kernel = kernel * jax.lax.rsqrt(jnp.square(kernel).mean(axis=(0, 1, 2)))
        scales = scales * jax.lax.rsqrt(jnp.square(scales).mean())
        kernel = kernel * scales[:, None]
        norm = jax.lax.rsqrt(jnp.square(kernel).sum(axis=(0, 1, 2)) + _EPS)
        return self.gain[...] * norm * kernel
