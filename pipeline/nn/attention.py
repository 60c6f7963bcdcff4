"""Single-head attention over the pixels of each frame, and over the frames of each pixel, and
attention with several heads over the tokens of an example.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


class Attention(nnx.Module):
    """x + out(softmax(q k^T / sqrt(c)) v), with q, k and v of norm(x); softmax in float32."""

    def __init__(
        self, features: int, *, norm: nnx.Module, rngs: nnx.Rngs, dtype: Any = jnp.float32
    ):
        def linear() -> nnx.Linear:
            init = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")  # torch's default
            return nnx.Linear(features, features, kernel_init=init, dtype=dtype, rngs=rngs)

        self.norm = norm
        self.query, self.key, self.value, self.out = linear(), linear(), linear(), linear()


class SpatialAttention(Attention):
    """Attention of each pixel to all pixels of its frame."""

    def __call__(self, x: Float[Array, "b *t h w c"]) -> Float[Array, "b *t h w c"]:
        *_, height, width, channels = x.shape
        h = self.norm(x).reshape(-1, height * width, channels)
        out = attend(self.query(h), self.key(h), self.value(h))
        return x + self.out(out).reshape(x.shape)


class TemporalAttention(Attention):
    """Attention of each pixel to the same pixel in all frames of the clip."""

    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t h w c"]:
        b, frames, height, width, channels = x.shape
        h = self.norm(x).transpose(0, 2, 3, 1, 4).reshape(b * height * width, frames, channels)
        out = self.out(attend(self.query(h), self.key(h), self.value(h)))
        return x + out.reshape(b, height, width, frames, channels).transpose(0, 3, 1, 2, 4)


def attend_to_all(qkv: Float[Array, "b n c3"], heads: int) -> Float[Array, "b n c"]:
    """Return the attention of each token to all tokens, from queries, keys and values side by side.

    Each of the three is divided among `heads`; the softmax is in float32.
    """
    b, n, width = qkv.shape
    query, key, value = jnp.split(qkv.reshape(b, n, 3 * heads, -1), 3, axis=2)
    return attend_heads(query, key, value).reshape(b, n, width // 3)


def attend_heads(
    query: Float[Array, "b q h c"], key: Float[Array, "b k h c"], value: Float[Array, "b k h c"]
) -> Float[Array, "b q h c"]:
    """Return softmax(q k^T / sqrt(c)) v of each of h heads, with a float32 softmax."""
    scores = jnp.einsum("bqhc,bkhc->bhqk", query, key, preferred_element_type=jnp.float32)
    weights = jax.nn.softmax(scores * query.shape[-1] ** -0.5).astype(value.dtype)
    return jnp.einsum("bhqk,bkhc->bqhc", weights, value)


def attend(
    query: Float[Array, "n q c"],
    key: Float[Array, "n k c"],
    value: Float[Array, "n k c"],
    limit: Any = None,
) -> Float[Array, "n q c"]:
    """Return softmax(q k^T / sqrt(c)) v, with a float32 softmax; over the first `limit` keys only,
    if there is a limit.
    """
    scores = jnp.einsum("nqc,nkc->nqk", query, key, preferred_element_type=jnp.float32)
    scores = scores * query.shape[-1] ** -0.5
    if limit is not None:
        scores = jnp.where(jnp.arange(key.shape[1]) < limit, scores, -jnp.inf)
    weights = jax.nn.softmax(scores).astype(value.dtype)
    return jnp.einsum("nqk,nkc->nqc", weights, value)
