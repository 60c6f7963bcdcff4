"""The search for the nearest code, and the look-up of a code by its index.

The matrix of distances is never held: codes are compared a chunk at a time, with a running minimum.
benchmarks/nearest_code_vs_torch.py compares it with torch's cdist and argmin.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pipeline.backend.segment_sum import segment_sum

CHUNK = 512


def nearest(
    x: Float[Array, "*n d"], codes: Float[Array, "k d"], *, chunk: int = CHUNK
) -> Int[Array, "*n"]:
    """Return the index of the code with the least |x - code|^2; of equal ones, the first.

    No gradient passes.
    """
    codes = jax.lax.stop_gradient(codes.astype(jnp.float32))
    return best_match(x, codes, -0.5 * jnp.square(codes).sum(axis=-1), chunk=chunk)


def best_match(
    x: Float[Array, "*n d"],
    codes: Float[Array, "k d"],
    bias: Float[Array, " k"],
    *,
    chunk: int = CHUNK,
) -> Int[Array, "*n"]:
    """Return the index of the code with the largest x . code + bias; of equal ones, the first."""
    x, codes, bias = (jax.lax.stop_gradient(a.astype(jnp.float32)) for a in (x, codes, bias))
    num_codes, chunk = len(codes), min(chunk, len(codes))
    missing = -num_codes % chunk
    codes = jnp.pad(codes, ((0, missing), (0, 0))).reshape(-1, chunk, codes.shape[-1])
    bias = jnp.pad(bias, (0, missing), constant_values=-jnp.inf).reshape(-1, chunk)

    def compare(carry: Any, part: Any) -> tuple[Any, None]:
        best, index = carry
        codes, bias, first = part
        # Codes come first: the reductions over them then run along whole vectors of positions.
        products = jnp.tensordot(codes, x, ((1,), (x.ndim - 1,)), precision="highest")
        scores = products + bias.reshape(-1, *[1] * (x.ndim - 1))
        highest = scores.max(axis=0)
        number = jax.lax.broadcasted_iota(jnp.int32, scores.shape, 0)
        here = first + jnp.where(scores == highest, number, chunk - 1).min(axis=0)
        better = highest > best
        return (jnp.where(better, highest, best), jnp.where(better, here, index)), None

    firsts = chunk * jnp.arange(len(codes), dtype=jnp.int32)
    start = (jnp.full(x.shape[:-1], -jnp.inf), jnp.zeros(x.shape[:-1], jnp.int32))
    if len(codes) == 1:
        return compare(start, (codes[0], bias[0], 0))[0][1]
    (_, indices), _ = jax.lax.scan(compare, start, (codes, bias, firsts))
    return indices


def take(codes: Float[Array, "k d"], indices: Int[Array, "*n"]) -> Float[Array, "*n d"]:
    """Return the codes of these indices; a code's gradient is summed in a fixed order."""
    return _take(len(codes), codes, indices)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _take(num_codes: int, codes: Array, indices: Array) -> Array:
    del num_codes
    return codes[indices]


def _take_forward(num_codes: int, codes: Array, indices: Array) -> tuple[Array, Array]:
    del num_codes
    return codes[indices], indices


def _take_backward(num_codes: int, indices: Array, grad: Array) -> tuple[Array, None]:
    return segment_sum(grad, indices, num_codes), None


_take.defvjp(_take_forward, _take_backward)
