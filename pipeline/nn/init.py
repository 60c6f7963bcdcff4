"""Random first values of weights, drawn so that a network of hundreds of shapes compiles a dozen programs.

Outside of jit, JAX compiles a generator for each shape that it draws: on a CPU half a second each, which is most of the
time before a run's first step. Its generators count elements (`jax_threefry_partitionable`, JAX's default), so that the
first n of a longer draw are a draw of n: what is given is bit for bit JAX's own of that key and shape.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float32, PRNGKeyArray

_SHORTEST = 4096


def uniform(key: PRNGKeyArray, shape: Sequence[int], bound: float = 1.0) -> Float32[Array, "..."]:
    """Uniform in +-bound."""
    return _drawn(
        lambda shape: jax.random.uniform(key, shape, jnp.float32, -1, 1), key, shape, bound
    )


def normal(
    key: PRNGKeyArray, shape: Sequence[int], deviation: float = 1.0
) -> Float32[Array, "..."]:
    """Normal around 0."""
    return _drawn(lambda shape: jax.random.normal(key, shape, jnp.float32), key, shape, deviation)


def _drawn(
    draw: Callable[[tuple[int, ...]], Array], key: Any, shape: Sequence[int], scale: float
) -> Array:
    counts = jax.config.jax_threefry_partitionable  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(key, Tracer) or not counts:
        return scale * draw(tuple(shape))
    size = math.prod(shape)
    longer = draw((max(_SHORTEST, 1 << (size - 1).bit_length()),))
    if isinstance(longer, Tracer):  # the key is not, and the trace drops what it does not use
        return scale * draw(tuple(shape))
    # In NumPy, where to cut, shape and scale compiles nothing.
    return jnp.asarray(np.float32(scale) * np.asarray(longer)[:size].reshape(tuple(shape)))
