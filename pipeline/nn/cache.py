"""The feature cache of a causal network, with which a clip can be coded chunk by chunk."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pipeline.backend import cpu_schedule


@flax.struct.dataclass
class Memory:
    """All earlier frames that a layer keeps, and how many of them are there.

    Their number changes from chunk to chunk, which would compile a program for each chunk of a
    stream. So there are more places than frames, and `with_room` keeps their number a power of two.
    """

    frames: Any  # [b n ...]
    count: Any  # int32 []


CacheArrays = tuple[Array | Memory, ...]


class CausalCache:
    """The frames that layers keep from one chunk of a clip for the next, in order of their calls.

        cache = CausalCache(arrays)         # arrays is None before the first chunk
        latents = encoder(frames, cache)    # each temporal layer calls cache.prepend_context
        arrays = cache.arrays()             # a pytree, to go in and out of a compiled function
    arrays = with_room(arrays)          # outside of it, before the next chunk

    A cache only lives while a function is traced. Layers that are called without one see a whole
    clip.
    """

    def __init__(self, arrays: Sequence[Array | Memory] | None = None):
        self.first = arrays is None
        self._given: list[Any] = list(arrays or ())[::-1]
        self._kept: list[Array | Memory] = []

    def prepend_context(
        self, x: Float[Array, "b t h w c"], before: Callable[[Array], Array], keep: int
    ) -> Array:
        """Return x with its context in front: before(x) in the first chunk, else the cached frames.

        The last `keep` frames of the result are cached for the next chunk.
        """
        joined = jnp.concatenate([before(x) if self.first else self._given.pop(), x], axis=1)
        if not keep or not joined.size:
            self._kept.append(joined[:, :0])
            return joined
        # Otherwise XLA would leave what is cached for last, and hold what it is computed from.
        joined = cpu_schedule.computed(joined)
        kept = cpu_schedule.computed(joined[:, max(0, joined.shape[1] - keep) :])
        self._kept.append(kept)
        return cpu_schedule.after([kept], joined)

    def remember(
        self, x: Float[Array, "b t ..."]
    ) -> tuple[Float[Array, "b n ..."], Int[Array, ""] | int]:
        """Return all frames so far, those of x last, and the number of earlier ones.

        After the first chunk there are places beyond the last frame, which hold zeros. The cache
        keeps all frames for the next chunk.
        """
        known, earlier = x, 0
        if not self.first:
            memory = self._given.pop()
            room = jnp.concatenate([memory.frames, jnp.zeros_like(x)], axis=1)
            earlier = memory.count
            known = jax.lax.dynamic_update_slice_in_dim(room, x, earlier, axis=1)
        self._kept.append(Memory(known, jnp.asarray(earlier + x.shape[1], jnp.int32)))
        return known, earlier

    def arrays(self) -> CacheArrays:
        """Return the arrays that the next chunk needs.

        Raises:
          ValueError: the network did not use all arrays that the cache was made from.
        """
        if self._given:
            raise ValueError(
                f"{len(self._given)} arrays of the cache were not used: it is from another network"
            )
        return tuple(self._kept)


def with_context(
    cache: CausalCache | None,
    x: Float[Array, "b t h w c"],
    before: Callable[[Array], Array],
    keep: int,
) -> Array:
    """Return `cache.prepend_context(x, before, keep)`; without a cache, x is a whole clip."""
    if cache is None:
        return jnp.concatenate([before(x), x], axis=1)
    return cache.prepend_context(x, before, keep)


def starts_clip(cache: CausalCache | None) -> bool:
    """Return whether the current frames are the first ones of their clip."""
    return cache is None or cache.first


def with_room(arrays: CacheArrays | None) -> CacheArrays | None:
    """Return a cache whose memories have a power of two of places; called between two chunks."""
    if arrays is None:
        return None
    return tuple(_with_room(each) if isinstance(each, Memory) else each for each in arrays)


def places_for(count: int) -> int:
    """Return the number of places of a memory of so many frames: the next power of two."""
    return 1 << (count - 1).bit_length()


def _with_room(memory: Memory) -> Memory:
    places, found = places_for(int(memory.count)), memory.frames.shape[1]
    if places <= found:
        return Memory(memory.frames[:, :places], memory.count)
    widths = [(0, places - found) if axis == 1 else (0, 0) for axis in range(memory.frames.ndim)]
    return Memory(jnp.pad(memory.frames, widths), memory.count)
