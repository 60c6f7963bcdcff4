"""What a causal network remembers of the frames before a chunk, so that a clip can be coded piece by piece."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

Cache = tuple[Array, ...]


class Past:
    """Frames that layers hand on from one chunk of a clip to the next, in the order in which the layers are called.

        past = Past(cache)                  # None before the first chunk
        latents = encoder(frames, past)     # each layer in time calls past.extend
        cache = past.cache()                # a pytree of arrays, to go in and out of a compiled function

    It lives only while a function is traced. Layers that are given no Past at all see a whole clip.
    """

    def __init__(self, cache: Sequence[Array] | None = None):
        self.first = cache is None
        self._given = list(cache or ())[::-1]
        self._kept: list[Array] = []

    def extend(self, x: Float[Array, "b t h w c"], before: Callable[[Array], Array], keep: int | None) -> Array:
        """x with the frames in front of it: before(x) at the start of a clip, and else what was kept last time.

        Of the result its last `keep` frames are kept for the next chunk, or all of them.
        """
        joined = jnp.concatenate([before(x) if self.first else self._given.pop(), x], axis=1)
        frames = joined.shape[1]
        self._kept.append(joined[:, max(0, frames - (frames if keep is None else keep)) :])
        return joined

    def cache(self) -> Cache:
        """What the next chunk needs. Raises ValueError where the network did not use all that it was given."""
        if self._given:
            raise ValueError(f"{len(self._given)} arrays of the cache are of another network")
        return tuple(self._kept)


def starts_clip(past: Past | None) -> bool:
    """Whether the frames at hand are the first ones of their clip."""
    return past is None or past.first
