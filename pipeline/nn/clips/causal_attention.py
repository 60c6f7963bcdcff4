"""Attention of each pixel to all pixels of its own and of all earlier frames."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pipeline.nn.attention import Attention, attend
from pipeline.nn.cache import CausalCache

# Scores that are in memory at a time, over all examples.
SCORES = 1 << 26
LOOPS = 4


class CausalAttention(Attention):
    """x + out(softmax(q k^T / sqrt(c)) v), with q, k and v of norm(x), over the frames up to each.

    HunyuanVideo's codecs have it (arXiv 2412.03603). No mask is made, and at a time there are the
    scores of one frame, or of a part of it; the softmax is in float32. A cache keeps the keys and
    values of all earlier frames.
    """

    def __call__(
        self, x: Float[Array, "b t h w c"], cache: CausalCache | None = None
    ) -> Float[Array, "b t h w c"]:
        b, frames, height, width, channels = x.shape
        h = self.norm(x).reshape(b, frames, height * width, channels)
        known, earlier = jnp.stack([self.key(h), self.value(h)], axis=2), 0
        if cache is not None:
            known, earlier = cache.remember(known)
        query, before = self.query(h).swapaxes(0, 1), known.shape[1] - frames
        limits = (earlier + jnp.arange(frames) + 1) * height * width
        # Frame after frame. A loop has one number of keys, so that frames in front would see as
        # many as the last one, all but theirs masked: several loops have less to do in vain.
        size, attended = -(-frames // LOOPS), []
        for start in range(0, frames, size):
            own = slice(start, start + size)
            seen = known[:, : before + min(start + size, frames)]
            attended.append(_of_frames(query[own], seen, limits[own]))
        out = jnp.concatenate(attended).swapaxes(0, 1)
        return x + self.out(out).reshape(x.shape)


def _of_frames(
    query: Float[Array, "t b n c"], seen: Float[Array, "b m 2 n c"], limits: Int[Array, " t"]
) -> Float[Array, "t b n c"]:
    """Return the attention of each of these frames to the first `limits` pixels of the clip."""
    return jax.lax.map(lambda one: _of_frame(one[0], seen, one[1]), (query, limits))


# The backward pass computes the scores again, instead of storing those of all frames.
@jax.checkpoint
def _of_frame(query: Float[Array, "b n c"], seen: Float[Array, "b m 2 n c"], limit: Any) -> Any:
    """Return the attention of a frame to the first `limit` pixels of the frames `seen`."""
    b, n, channels = query.shape
    key, value = (seen[:, :, part].reshape(b, -1, channels) for part in (0, 1))
    block = _rows(n, b * key.shape[1])
    if block == n:
        return attend(query, key, value, limit)
    blocks = query.reshape(b, n // block, block, channels).swapaxes(0, 1)
    out = jax.lax.map(lambda part: attend(part, key, value, limit), blocks)
    return out.swapaxes(0, 1).reshape(b, n, channels)


def _rows(queries: int, keys: int) -> int:
    """Return the largest divisor of `queries` with which there are at most SCORES scores."""
    most = max(1, SCORES // keys)
    return next(rows for rows in range(min(queries, most), 0, -1) if queries % rows == 0)
