"""Layers that draw their own weights, from one key."""

import itertools
from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import PRNGKeyArray

# (kind, *its shape, **its settings) -> a layer of that kind
LayerFactory = Callable[..., Any]


def layer_factory(key: PRNGKeyArray, dtype: Any) -> LayerFactory:
    """Makes layers that take `key` and `dtype`; the n-th one made gets the key's n-th draw.

    Not nnx.Rngs all the way down: under eval_shape its cost grows with the square of its draws.
    """
    draws = itertools.count()

    def make(kind: Callable[..., Any], *shape: int, **settings: Any) -> Any:
        return kind(*shape, **settings, key=jax.random.fold_in(key, next(draws)), dtype=dtype)

    return make
