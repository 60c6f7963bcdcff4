"""The exact (erf) Gaussian error linear unit, x * Phi(x), at the cost of the tanh approximation."""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from pipeline.backend import target


def gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return the exact GELU (arXiv 1606.08415), torch's default, elementwise.

    In float32 the error is at most 5e-7 * max(1, |x|).
    """
    if target.backend() == "cpu":
        return _gelu(x)
    return jax.nn.gelu(x, approximate=False)


@jax.custom_jvp
def _gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    # jax.nn.gelu uses erfc, which is more accurate in the left tail, at several times the cost.
    return (0.5 * x) * (1.0 + lax.erf(x * math.sqrt(0.5)))


@_gelu.defjvp
def _gelu_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # Phi(x) + x phi(x) from x alone: XLA would keep a term shared with the forward pass in memory.
    return _gelu(primals[0]), _derivative(primals[0]) * tangents[0]


# The derivative minus 1/2 is odd: x P(x^2) / Q(x^2), minimax on |x| < 5.7 with an error of 1.1e-7
# (3.5e-7 in float32 arithmetic); beyond, it is within 2e-7 of its limit. Lowest power first.
_NUMERATOR = (
    0.797885358,
    -0.0309916008,
    0.0142294941,
    1.9327339e-05,
    3.59453697e-05,
    1.92786786e-07,
)
_DENOMINATOR = (1.0, 0.294499338, 0.0409810282, 0.00352297886, 0.000192041756, 8.94787263e-06)


def _derivative(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    clamped = jnp.clip(x, -5.7, 5.7)
    square = clamped * clamped
    return 0.5 + clamped * _polynomial(square, _NUMERATOR) / _polynomial(square, _DENOMINATOR)


def _polynomial(x: Array, coefficients: tuple[float, ...]) -> Array:
    value = jnp.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value
