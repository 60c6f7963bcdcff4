"""The unit sphere, on which some quantizers compare vectors."""

import jax.numpy as jnp
from jaxtyping import Array, Float

_TINY = 1e-12


def on_sphere(x: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
    """Return the vectors, scaled to length 1; a vector of zeros stays."""
    # The gradient of a square root is infinite at 0.
    return x / jnp.sqrt(jnp.maximum(jnp.square(x).sum(axis=-1, keepdims=True), _TINY))
