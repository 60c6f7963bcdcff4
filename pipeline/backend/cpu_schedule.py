"""The order in which XLA's CPU backend computes things, where it decides how much memory they take."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from pipeline.backend import target


def after(earlier: list[Array], array: Array) -> Array:
    """`array`, for what shall be computed after `earlier`; best a small one, as weights are.

    XLA's CPU backend is free to leave gradients of weights for last, and holds every map that they are computed of
    until then. Its order is that of the values each operation takes: so here a zero is added that it cannot know to be
    one.
    """
    if not matters():
        return array
    number = sum(one.ravel()[0].astype(jnp.float32) for one in earlier)
    bits = lax.bitcast_convert_type(number, jnp.int32)
    return array + (lax.population_count(bits) >> 6).astype(array.dtype)  # of at most 32 bits


def matters() -> bool:
    """On one device of the CPU: of several, gradients are sums over them all, which nothing shall wait for."""
    return target.backend() == "cpu" and not target.is_divided()


def sum_of_pixels(x: Float[Array, "*b n c"]) -> Float[Array, "*b 1 c"]:
    """Over the last axis but one; on a CPU a product with ones, for which XLA has the vector instructions."""
    if target.backend() != "cpu":
        return x.sum(axis=-2, keepdims=True)
    return jnp.ones((*x.shape[:-2], 1, x.shape[-2]), x.dtype) @ x


def sum_of_all(x: Float[Array, "*n c"]) -> Float[Array, " c"]:
    """Over all axes but the last. Of several devices they stay apart: merged, a split height would come together."""
    if not matters():
        return x.sum(axis=tuple(range(x.ndim - 1)))
    return sum_of_pixels(x.reshape(-1, x.shape[-1]))[0]
