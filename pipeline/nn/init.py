"""Weight initializers, and a factory of layers that initialize themselves from one key.

Outside of jit, JAX compiles a random generator for each shape: half a second each on a CPU, which
is most of the time before a run's first step. Its generators count elements
(`jax_threefry_partitionable`, JAX's default), so that the first n values of a longer draw are a
draw of n. The initializers here draw powers of two and cut: a network of hundreds of shapes
compiles a dozen programs, and the values are bit for bit JAX's own for that key and shape.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float32, PRNGKeyArray

_SHORTEST = 4096

# (layer class, *its sizes, **its settings) -> a layer of that class
LayerFactory = Callable[..., Any]


def uniform(key: PRNGKeyArray, shape: Sequence[int], bound: float = 1.0) -> Float32[Array, "..."]:
    """Draw from the uniform distribution on +-bound."""
    return _draw(
        lambda shape: jax.random.uniform(key, shape, jnp.float32, -1, 1), key, shape, bound
    )


def normal(
    key: PRNGKeyArray, shape: Sequence[int], deviation: float = 1.0
) -> Float32[Array, "..."]:
    """Draw from the normal distribution with mean 0."""
    return _draw(lambda shape: jax.random.normal(key, shape, jnp.float32), key, shape, deviation)


def layer_factory(key: PRNGKeyArray, dtype: Any) -> LayerFactory:
    """Return a function that makes layers taking `key` and `dtype`; the n-th gets fold_in(key, n).

    This is not nnx.Rngs passed all the way down: under eval_shape its cost grows with the square of
    the number of draws.
    """
    draws = itertools.count()

    def make(layer: Callable[..., Any], *sizes: int, **settings: Any) -> Any:
        return layer(*sizes, **settings, key=jax.random.fold_in(key, next(draws)), dtype=dtype)

    return make


def _draw(
    generate: Callable[[tuple[int, ...]], Array], key: Any, shape: Sequence[int], scale: float
) -> Array:
    counts = jax.config.jax_threefry_partitionable  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(key, Tracer) or not counts:
        return scale * generate(tuple(shape))
    size = math.prod(shape)
    longer = generate((max(_SHORTEST, 1 << (size - 1).bit_length()),))
    if isinstance(longer, Tracer):  # a constant key in a trace, which drops the unused draw
        return scale * generate(tuple(shape))
    # NumPy cuts, reshapes and scales without compiling anything.
    return jnp.asarray(np.float32(scale) * np.asarray(longer)[:size].reshape(tuple(shape)))
