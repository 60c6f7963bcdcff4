"""What a causal network remembers of the frames before a chunk, so that a clip can be coded piece by piece."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

CacheArrays = tuple[Array, ...]


class CausalCache:
    """Frames that layers hand on from one chunk of a clip to the next, in the order in which the layers are called.

        cache = CausalCache(arrays)         # None before the first chunk
        latents = encoder(frames, cache)    # each layer in time calls cache.prepend_context
        arrays = cache.arrays()             # a pytree of arrays, to go in and out of a compiled function

    It lives only while a function is traced. Layers that are given no cache at all see a whole clip.
    """

    def __init__(self, arrays: Sequence[Array] | None = None):
        self.first = arrays is None
        self._given = list(arrays or ())[::-1]
        self._kept: list[Array] = []

    def prepend_context(
        self, x: Float[Array, "b t h w c"], before: Callable[[Array], Array], keep: int | None
    ) -> Array:
        """x with the frames in front of it: before(x) at the start of a clip, and else what was kept last time.

        Of the result its last `keep` frames are kept for the next chunk, or all of them.
        """
        joined = jnp.concatenate([before(x) if self.first else self._given.pop(), x], axis=1)
        frames = joined.shape[1]
        self._kept.append(joined[:, max(0, frames - (frames if keep is None else keep)) :])
        return joined

    def arrays(self) -> CacheArrays:
        """What the next chunk needs. Raises ValueError where the network did not use all that it was given."""
        if self._given:
            raise ValueError(f"{len(self._given)} arrays of the cache are of another network")
        return tuple(self._kept)


def starts_clip(cache: CausalCache | None) -> bool:
    """Whether the frames at hand are the first ones of their clip."""
    return cache is None or cache.first
