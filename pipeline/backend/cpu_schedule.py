"""Scheduling hints and reductions for XLA's CPU backend, where the order decides peak memory."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from pipeline.backend import target


def after(earlier: list[Array], array: Array) -> Array:
    """Return `array`, such that what is computed from it is scheduled after `earlier`.

    XLA's CPU backend is free to leave weight gradients for last, and holds the feature maps that
    they are computed from until then. Its order follows data dependencies, so add a data-dependent
    zero that XLA cannot fold. `array` is best a small one, such as a kernel.
    """
    if not applies():
        return array
    return array + _zero_of(earlier).astype(array.dtype)


@jax.custom_jvp
def computed(array: Array) -> Array:
    """Return `array`, such that it is in memory before anything is computed from it.

    XLA would rather compute an elementwise `array` again within each operation that uses it. This
    makes it pass through a loop of no steps, whose number of steps XLA cannot know.
    """
    if not applies():
        return array
    steps = _zero_of([array])
    loop = lax.while_loop(lambda c: c[0] < steps, lambda c: (c[0] + 1, -c[1]), (0, array))
    return loop[1]


computed.defjvp(lambda primals, tangents: (computed(*primals), *tangents))


def _zero_of(arrays: list[Array]) -> Array:
    """Return an integer zero that XLA must compute from the arrays."""
    number = sum(one.ravel()[0].astype(jnp.float32) for one in arrays)
    bits = lax.bitcast_convert_type(number, jnp.int32)
    # A population count of 32 bits is at most 32, so that >> 6 gives zero.
    return lax.population_count(bits) >> 6


def applies() -> bool:
    """Return whether scheduling is forced: on one CPU device.

    On several devices gradients are sums over all of them, which nothing should wait for.
    """
    return target.backend() == "cpu" and not target.is_divided()


def sum_of_pixels(x: Float[Array, "*b n c"]) -> Float[Array, "*b 1 c"]:
    """Sum over the second-to-last axis; on the CPU as a product with ones, which XLA vectorizes."""
    if target.backend() != "cpu":
        return x.sum(axis=-2, keepdims=True)
    return jnp.ones((*x.shape[:-2], 1, x.shape[-2]), x.dtype) @ x


def sum_of_all(x: Float[Array, "*n c"]) -> Float[Array, " c"]:
    """Sum over all axes but the last.

    On several devices the axes are not merged first: that would gather a height split over
      `context`.
    """
    if not applies():
        return x.sum(axis=tuple(range(x.ndim - 1)))
    return sum_of_pixels(x.reshape(-1, x.shape[-1]))[0]
