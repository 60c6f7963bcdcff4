"""The feature cache of a causal network, with which a clip can be coded chunk by chunk."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

CacheArrays = tuple[Array, ...]


class CausalCache:
    """The frames that layers keep from one chunk of a clip for the next, in order of their calls.

        cache = CausalCache(arrays)         # arrays is None before the first chunk
        latents = encoder(frames, cache)    # each temporal layer calls cache.prepend_context
        arrays = cache.arrays()             # a pytree, to go in and out of a compiled function

    A cache only lives while a function is traced. Layers that are called without one see a whole
    clip.
    """

    def __init__(self, arrays: Sequence[Array] | None = None):
        self.first = arrays is None
        self._given = list(arrays or ())[::-1]
        self._kept: list[Array] = []

    def prepend_context(
        self, x: Float[Array, "b t h w c"], before: Callable[[Array], Array], keep: int
    ) -> Array:
        """Return x with its context in front: before(x) in the first chunk, else the cached frames.

        The last `keep` frames of the result are cached for the next chunk.
        """
        joined = jnp.concatenate([before(x) if self.first else self._given.pop(), x], axis=1)
        self._kept.append(joined[:, max(0, joined.shape[1] - keep) :])
        return joined

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


def starts_clip(cache: CausalCache | None) -> bool:
    """Return whether the current frames are the first ones of their clip."""
    return cache is None or cache.first
