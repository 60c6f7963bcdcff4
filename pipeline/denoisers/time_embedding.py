"""The embedding of times: sines and cosines of them, and two layers."""

import math
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

# Networks see times as DDPM's steps, of which there are a thousand.
STEPS = 1000


class TimeEmbedding(nnx.Module):
    """t [b] between 0 and 1 -> [b size], by silu between two layers.

    Args:
      frequencies: the number of sines and cosines of 1000 t together, as in DDPM
        (arXiv 2006.11239) and the Transformer; even.
    """

    def __init__(self, frequencies: int, size: int, *, rngs: nnx.Rngs, dtype: Any = jnp.float32):
        self.first = nnx.Linear(frequencies, size, dtype=dtype, rngs=rngs)
        self.second = nnx.Linear(size, size, dtype=dtype, rngs=rngs)
        self.frequencies = frequencies

    def __call__(self, t: Float[Array, " b"]) -> Float[Array, "b e"]:
        return self.second(nnx.silu(self.first(waves(STEPS * t, self.frequencies))))


def waves(t: Float[Array, " b"], count: int) -> Float[Array, "b c"]:
    """Return cosines, then sines, of t times count / 2 frequencies from 1 down to nearly 1e-4."""
    half = count // 2
    frequencies = jnp.exp(-math.log(10_000) * jnp.arange(half) / half)
    angles = t.astype(jnp.float32)[:, None] * frequencies
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)
