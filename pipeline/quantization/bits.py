"""Indices of codes whose elements are signs: bit i of the index says whether element i is above 0.

Bit 0 is the least significant one (arXiv 2310.05737, eq. 4).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def index_of(x: Float[Array, "*n d"]) -> Int[Array, "*n"]:
    """Return the index of the signs of x, where 0 counts as negative."""
    powers = 1 << jnp.arange(x.shape[-1], dtype=jnp.int32)
    return jnp.where(x > 0, powers, 0).sum(axis=-1)


def signs_of(indices: Int[Array, "*n"], num_bits: int) -> Float[Array, "*n d"]:
    """Return the signs, -1 or 1, of an index."""
    bits = (indices[..., None] >> jnp.arange(num_bits, dtype=jnp.int32)) & 1
    return bits.astype(jnp.float32) * 2 - 1
