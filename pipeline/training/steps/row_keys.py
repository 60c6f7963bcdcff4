"""Keys for a microbatch, whose draws are its rows of what the step's key draws for the batch.

JAX's threefry computes each number of a draw from the key and the number's position alone. A
microbatch therefore gets a key of the same two words that replaces positions in the microbatch by
those in the batch. It draws nothing for the rows of other microbatches, so that memory does not
grow with their number, and models use it like any other key.

A draw belongs to the rows if its first axis is a multiple of their number: [rows ...], or
[rows * frames ...]. Any other draw is the same in all microbatches, as it is in the batch.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.random import define_prng_impl, threefry2x32_p
from jaxtyping import Array, Int, PRNGKeyArray, UInt32

THREEFRY = "threefry2x32"


def of_microbatch(
    key: PRNGKeyArray, index: Int[Array, ""] | int, *, rows: int, steps: int
) -> PRNGKeyArray:
    """Return the key of microbatch `index`, which has rows index, index + steps, ... of the batch.

    Args:
      key: a threefry key.
      rows: rows of a microbatch.
      steps: number of microbatches.
    """
    number = jnp.asarray(index, jnp.uint32)[None]
    words = jnp.concatenate([jax.random.key_data(key), number])
    return jax.random.wrap_key_data(words, impl=_implementation(rows, steps))


@functools.cache
def _implementation(rows: int, steps: int) -> Any:
    """Return an implementation whose keys [3] are a threefry key and a microbatch's index."""

    def random_bits(key: Array, width: int, shape: tuple[int, ...]) -> Array:
        if not shape or not shape[0] or shape[0] % rows:
            return jax.random.bits(_threefry(key), shape, _UNSIGNED[width])
        group = shape[0] // rows
        along = [jax.lax.broadcasted_iota(jnp.uint32, shape, axis) for axis in range(len(shape))]
        row, within = along[0] // group, along[0] % group
        first = (row * steps + key[2]) * group + within
        rest = jnp.zeros(shape, jnp.uint32)
        for axis in range(1, len(shape)):
            rest += along[axis] * math.prod(shape[axis + 1 :])
        high, low = _position(first, math.prod(shape[1:]), rest)
        high, low = threefry2x32_p.bind(key[0], key[1], high, low)
        dtype = _UNSIGNED[width]
        if width == 64:
            return (high.astype(dtype) << 32) | low.astype(dtype)
        return (high ^ low).astype(dtype)

    def fold_in(key: Array, data: Any) -> Array:
        return _with_index(jax.random.fold_in(_threefry(key), data), key)

    def split(key: Array, shape: tuple[int, ...]) -> Array:
        return _with_index(jax.random.split(_threefry(key), shape), key)

    def seed(number: Array) -> Array:
        raise NotImplementedError("only of_microbatch makes these keys")

    name = f"rows_{rows}_of_{rows * steps}"
    return define_prng_impl(
        key_shape=(3,),
        seed=seed,
        split=split,
        random_bits=random_bits,
        fold_in=fold_in,
        name=name,
        tag=name,
    )


_UNSIGNED = {8: jnp.uint8, 16: jnp.uint16, 32: jnp.uint32, 64: jnp.uint64}


def _threefry(words: Array) -> PRNGKeyArray:
    return jax.random.wrap_key_data(words[:2], impl=THREEFRY)


def _with_index(keys: Any, words: Array) -> Array:
    index = jnp.broadcast_to(words[2:], (*keys.shape, 1))
    return jnp.concatenate([jax.random.key_data(keys), index], axis=-1)


def _position(
    first: UInt32[Array, "..."], stride: int, rest: UInt32[Array, "..."]
) -> tuple[UInt32[Array, "..."], UInt32[Array, "..."]]:
    """Return first * stride + rest as the high and the low 32 bits.

    JAX has no 64-bit integers unless they are enabled, so the product is put together from halves.
    """
    left, right = (first >> 16, first & 0xFFFF), (stride >> 16, stride & 0xFFFF)
    small = left[1] * right[1]
    crossed = left[0] * right[1], left[1] * right[0]
    middle = (small >> 16) + (crossed[0] & 0xFFFF) + (crossed[1] & 0xFFFF)
    high = left[0] * right[0] + (crossed[0] >> 16) + (crossed[1] >> 16) + (middle >> 16)
    low = (middle << 16) | (small & 0xFFFF)
    total = low + rest
    return high + (total < low), total
