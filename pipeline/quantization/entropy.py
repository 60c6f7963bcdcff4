"""The entropy of a distribution over codes."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def entropy(p: Float[Array, " k"]) -> Float[Array, ""]:
    """Return the entropy of probabilities, in nats; those of 0 add nothing."""
    return -(p * jnp.log(jnp.where(p > 0, p, 1.0))).sum()
