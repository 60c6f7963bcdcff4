"""Generalized divisive normalization (arXiv 1511.06281), the non-linearity of learned compression.

Each channel is divided by a root of a learned sum of the squares of all channels of its pixel.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

_PEDESTAL = 2.0**-36  # keeps gradients of the squared parameters from vanishing at 0
_LEAST = 1e-6  # of beta, which keeps the sum above 0


class GDN(nnx.Module):
    """y_i = x_i / sqrt(beta_i + sum_j gamma_ij x_j^2), or with `inverse` the product.

    Equation 4 of arXiv 1611.01704, which also starts at beta = 1 and gamma = 0.1 I and stores roots
    of both. Parameters and sums are float32.
    """

    def __init__(self, features: int, *, inverse: bool = False):
        self.inverse = inverse
        self.root_beta = nnx.Param(_root(jnp.ones((features,), jnp.float32)))
        self.root_gamma = nnx.Param(_root(0.1 * jnp.eye(features, dtype=jnp.float32)))

    def __call__(self, x: Float[Array, "... c"]) -> Float[Array, "... c"]:
        y = x.astype(jnp.float32)
        gamma, beta = _squared(self.root_gamma[...], 0.0), _squared(self.root_beta[...], _LEAST)
        norm = jnp.square(y) @ gamma + beta
        return (y * (jnp.sqrt(norm) if self.inverse else jax.lax.rsqrt(norm))).astype(x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def lower_bound(x: Float[Array, "*shape"], least: float) -> Float[Array, "*shape"]:
    """Return max(x, least); below it, only a gradient whose descent raises x passes."""
    return jnp.maximum(x, least)


def _forward(x: Array, least: float) -> tuple[Array, Array]:
    return jnp.maximum(x, least), x


def _backward(least: float, x: Array, grad: Array) -> tuple[Array]:
    return (jnp.where((x >= least) | (grad < 0), grad, 0.0),)


lower_bound.defvjp(_forward, _backward)


def _root(x: Array) -> Array:
    return jnp.sqrt(x + _PEDESTAL)


def _squared(root: Array, least: float) -> Array:
    return jnp.square(lower_bound(root, (least + _PEDESTAL) ** 0.5)) - _PEDESTAL
