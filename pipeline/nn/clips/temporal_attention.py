"""Attention of each pixel to the same pixel of its own and of all earlier frames."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.nn.attention import Attention
from pipeline.nn.cache import CausalCache

Clip = Float[Array, "b t h w c"]


class CausalTemporalAttention(Attention):
    """x + out(softmax(q k^T / sqrt(c)) v), with q, k and v of norm(x), over the frames up to each.

    A cache keeps the keys and values of all earlier frames.
    """

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        h = self.norm(x)
        return x + self.out(attend_to_earlier(self.query(h), self.key(h), self.value(h), 1, cache))


def attend_to_earlier(
    query: Clip, key: Clip, value: Clip, heads: int, cache: CausalCache | None = None
) -> Clip:
    """Return softmax(q k^T / sqrt(c)) v of each pixel over the frames up to each.

    Each of the three is divided among `heads`, of c channels; the softmax is in float32. With a
    `cache` the frames are the next chunk of a clip, and it keeps their keys and values.
    """
    frames, width = query.shape[1], query.shape[-1]
    known, earlier = jnp.concatenate([key, value], axis=-1), 0
    if cache is not None:
        known, earlier = cache.remember(known)
    key, value = jnp.split(known, 2, axis=-1)
    query, key, value = (each.reshape(*each.shape[:-1], heads, -1) for each in (query, key, value))
    scores = jnp.einsum("bqhwnc,bkhwnc->bhwnqk", query, key, preferred_element_type=jnp.float32)
    seen = jnp.arange(key.shape[1]) <= earlier + jnp.arange(frames)[:, None]
    scores = jnp.where(seen, scores * query.shape[-1] ** -0.5, -jnp.inf)
    weights = jax.nn.softmax(scores).astype(value.dtype)
    out = jnp.einsum("bhwnqk,bkhwnc->bqhwnc", weights, value)
    return out.reshape(*out.shape[:-2], width)
