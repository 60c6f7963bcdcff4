"""Sums of vectors by the code that each was given, in the same order on every run.

On the CPU a scatter adds the vectors one after another. On accelerators a scatter adds them in any
order, so that a resumed run would differ in rounding; there the sums are products with one-hot
rows, a chunk of codes at a time.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pipeline.backend import target

_CHUNK = 1024


def segment_sum(
    x: Float[Array, "*n d"], indices: Int[Array, "*n"], num_segments: int
) -> Float[Array, "k d"]:
    """Return the sum of the vectors of each index, in float32; 0 where there are none."""
    x = x.astype(jnp.float32)
    if target.backend() == "cpu":
        return jnp.zeros((num_segments, x.shape[-1]), jnp.float32).at[indices].add(x)
    axes = tuple(range(indices.ndim))

    def of_chunk(first: Array) -> Float[Array, "c d"]:
        chosen = jax.nn.one_hot(indices - first, chunk, dtype=jnp.float32)
        return jnp.tensordot(chosen, x, (axes, axes), precision="highest")

    chunk = min(_CHUNK, num_segments)
    sums = jax.lax.map(of_chunk, jnp.arange(0, num_segments, chunk))
    return sums.reshape(-1, x.shape[-1])[:num_segments]


def segment_counts(indices: Int[Array, "*n"], num_segments: int) -> Float[Array, " k"]:
    """Return how often each index occurs; exact, in whatever order it is counted."""
    return jnp.zeros((num_segments,), jnp.float32).at[indices].add(1.0)
