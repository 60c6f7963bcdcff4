"""Attention over the pixels of each frame, and over the frames of each pixel that came before."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.nn.cache import CausalCache


class _Attention(nnx.Module):
    """x + out(softmax(q k^T / sqrt(c)) v), with q, k and v of norm(x); one head; softmax in float32."""

    def __init__(
        self, features: int, *, norm: nnx.Module, rngs: nnx.Rngs, dtype: Any = jnp.float32
    ):
        def linear() -> nnx.Linear:
            init = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")  # torch's default
            return nnx.Linear(features, features, kernel_init=init, dtype=dtype, rngs=rngs)

        self.norm = norm
        self.query, self.key, self.value, self.out = linear(), linear(), linear(), linear()


class SpatialAttention(_Attention):
    """Each pixel sees all pixels of its frame."""

    def __call__(self, x: Float[Array, "b *t h w c"]) -> Float[Array, "b *t h w c"]:
        *_, height, width, channels = x.shape
        h = self.norm(x).reshape(-1, height * width, channels)
        out = _attend(self.query(h), self.key(h), self.value(h))
        return x + self.out(out).reshape(x.shape)


class TemporalAttention(_Attention):
    """Each pixel sees itself in all frames of the clip."""

    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t h w c"]:
        b, frames, height, width, channels = x.shape
        h = self.norm(x).transpose(0, 2, 3, 1, 4).reshape(b * height * width, frames, channels)
        out = self.out(_attend(self.query(h), self.key(h), self.value(h)))
        return x + out.reshape(b, height, width, frames, channels).transpose(0, 3, 1, 2, 4)


class CausalTemporalAttention(_Attention):
    """Each pixel sees itself in its own frame and in those before it.

    For chunks, keys and values of all frames so far are remembered: `window` limits them to that many frames.
    """

    def __init__(
        self,
        features: int,
        *,
        norm: nnx.Module,
        window: int | None = None,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        super().__init__(features, norm=norm, rngs=rngs, dtype=dtype)
        self.window = window

    def __call__(
        self, x: Float[Array, "b t h w c"], cache: CausalCache | None = None
    ) -> Float[Array, "b t h w c"]:
        b, frames, height, width, channels = x.shape
        h = self.norm(x)
        seen = h
        if cache is not None:
            kept = None if self.window is None else self.window - 1
            seen = cache.prepend_context(h, lambda h: h[:, :0], keep=kept)
        total = seen.shape[1]
        query, seen = (
            y.transpose(0, 2, 3, 1, 4).reshape(b * height * width, -1, channels) for y in (h, seen)
        )
        place = jnp.arange(total - frames, total)[:, None]
        other = jnp.arange(total)[None]
        mask = other <= place
        if self.window is not None:
            mask &= other > place - self.window
        out = self.out(_attend(self.query(query), self.key(seen), self.value(seen), mask))
        return x + out.reshape(b, height, width, frames, channels).transpose(0, 3, 1, 2, 4)


def _attend(
    query: Float[Array, "n q c"],
    key: Float[Array, "n k c"],
    value: Float[Array, "n k c"],
    mask: Array | None = None,
) -> Float[Array, "n q c"]:
    scores = (
        jnp.einsum("nqc,nkc->nqk", query, key, preferred_element_type=jnp.float32)
        * query.shape[-1] ** -0.5
    )
    if mask is not None:
        scores = jnp.where(mask, scores, -jnp.inf)
    return jnp.einsum("nqk,nkc->nqc", jax.nn.softmax(scores).astype(value.dtype), value)
