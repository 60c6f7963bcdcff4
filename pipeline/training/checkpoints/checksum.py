"""A checksum of an array that is the sum of its shards' checksums, however the array is sharded.

It is multilinear: the sum over the elements, modulo 2^64, of their bits times an odd weight that
depends only on the position in the whole array. An odd weight times a change of up to 32 bits is
never 0 modulo 2^64, so that one wrong element is always found; several wrong ones are missed with a
probability of about 2^-32 or less. It does not protect against deliberate changes.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt64

from pipeline.core.errors import CheckpointError
from pipeline.formats.names import first_few

MASK = (1 << 64) - 1
_CHUNK = 1 << 15  # elements whose products stay in a core's cache
_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32}


def checksum(block: np.ndarray, starts: tuple[int, ...] = ()) -> int:
    """Return the checksum of a block whose first element is at `starts` of the whole array."""
    starts = starts or (0,) * block.ndim
    if block.itemsize not in _UNSIGNED:
        # Elements of 8 bytes or more become words of 4 bytes along a new dimension.
        block = np.atleast_1d(np.ascontiguousarray(block))[..., None].view(np.uint32)
        starts = (starts or (0,)) + (0,)
    if block.ndim == 0:
        block, starts = block.reshape(1), (0,)
    if not block.size:
        return 0
    weights = [
        _weights(dim, start, size) for dim, (start, size) in enumerate(zip(starts, block.shape))
    ]
    # The last dimensions are merged into a long one, so that few products are left for the rows.
    columns = weights.pop()
    while weights and len(columns) * len(weights[-1]) <= _CHUNK:
        columns = (weights.pop()[:, None] * columns).reshape(-1)
    rows = functools.reduce(lambda left, right: (left[:, None] * right).reshape(-1), weights, _ONE)
    bits = (
        np.ascontiguousarray(block).view(_UNSIGNED[block.itemsize]).reshape(len(rows), len(columns))
    )
    return _contract(bits, rows, columns)


def of_array(array: jax.Array) -> tuple[int, bool]:
    """Return this process's part of the checksum, and whether its part is finite.

    Its part are the shards whose first replica it holds. Each is fetched from its device once.
    """
    total, finite = 0, True
    for shard in array.addressable_shards:
        if shard.replica_id == 0:
            block = np.asarray(shard.data)
            total += checksum(block, tuple(part.start or 0 for part in shard.index))
            finite = finite and is_finite(block)
    return total & MASK, finite


def is_finite(block: np.ndarray) -> bool:
    """Return whether an array has neither NaN nor infinity."""
    return not jnp.issubdtype(block.dtype, jnp.inexact) or bool(np.isfinite(block).all())


def require_finite(nonfinite: Sequence[str]) -> None:
    """Raise CheckpointError if there are names of arrays that are not finite."""
    if nonfinite:
        raise CheckpointError(f"{first_few(nonfinite)}: not finite")


def _contract(
    bits: np.ndarray, rows: UInt64[np.ndarray, " r"], columns: UInt64[np.ndarray, " c"]
) -> int:
    width = min(len(columns), _CHUNK)
    height = max(1, _CHUNK // width)
    products = np.empty((height, width), np.uint64)
    total = 0
    for left in range(0, len(columns), width):
        weights = columns[left : left + width]
        for top in range(0, len(rows), height):
            part = bits[top : top + height, left : left + width]
            out = products[: part.shape[0], : part.shape[1]]
            np.multiply(part, weights, out=out)
            sums = out.sum(axis=1, dtype=np.uint64) * rows[top : top + height]
            total += int(sums.sum(dtype=np.uint64))
    return total & MASK


_ONE = np.ones(1, np.uint64)


@functools.lru_cache(256)
def _weights(dim: int, start: int, size: int) -> UInt64[np.ndarray, " n"]:
    """Return odd weights of positions start .. start + size along a dimension.

    They are the finalizer of splitmix64 (Steele et al. 2014).
    """
    x = np.arange(start + 1, start + size + 1, dtype=np.uint64) + np.uint64((dim + 1) << 40)
    x *= np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x ^ (x >> np.uint64(31))) | np.uint64(1)
