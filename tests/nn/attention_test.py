"""Attention: its definition, and what it sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.nn.attention import CausalTemporalAttention, SpatialAttention, TemporalAttention
from pipeline.nn.cache import CausalCache
from pipeline.nn.norm import GroupNorm, LayerNorm

X = jax.random.normal(jax.random.key(0), (2, 3, 4, 5, 8))


def spatial(dtype=jnp.float32):
    return SpatialAttention(8, norm=GroupNorm(8, groups=4), rngs=nnx.Rngs(0), dtype=dtype)


def test_spatial_attention_is_over_the_pixels_of_a_frame():
    attention = spatial()
    out = jax.jit(attention)(X)
    normed = attention.norm(X).reshape(6, 20, 8)
    scores = attention.query(normed) @ attention.key(normed).swapaxes(1, 2) / 8**0.5
    expected = attention.out(jax.nn.softmax(scores, axis=-1) @ attention.value(normed))
    np.testing.assert_allclose(out, X + expected.reshape(X.shape), atol=1e-5)
    np.testing.assert_allclose(attention(X[:, 1]), out[:, 1], atol=1e-5)


@pytest.mark.parametrize(
    "kind, seen",
    [(TemporalAttention, np.ones((3, 3))), (CausalTemporalAttention, np.tril(np.ones((3, 3))))],
)
def test_temporal_attention_sees_a_pixel_in_other_frames(kind, seen):
    attention = kind(8, norm=LayerNorm(8), rngs=nnx.Rngs(0))
    jacobian = jax.jacobian(lambda x: attention(x).sum(-1)[0, :, 2, 2])(X[:1])[:, 0]
    np.testing.assert_array_equal(jnp.abs(jacobian[:, :, 2, 2]).sum(-1) > 0, seen > 0)
    assert not jnp.any(jacobian.at[:, :, 2, 2].set(0))


@pytest.mark.parametrize("window", [None, 3])
def test_chunks_of_causal_attention_give_what_the_whole_gives(window):
    attention = CausalTemporalAttention(8, norm=LayerNorm(8), window=window, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (1, 5, 2, 2, 8))
    whole, pull = jax.vjp(jax.jit(attention), x)

    @jax.jit
    def chunk(x, cache):
        cache = CausalCache(cache)
        return attention(x, cache), cache.arrays()

    cache, parts = None, []
    for start, end in ((0, 1), (1, 3), (3, 5)):
        part, cache = chunk(x[:, start:end], cache)
        parts.append(part)
    np.testing.assert_allclose(jnp.concatenate(parts, axis=1), whole, atol=1e-6)
    # What is remembered does not grow with the clip.
    assert cache[0].shape[1] == (5 if window is None else window - 1)
    # The last frame sees as many as the window has, itself among them.
    (seen,) = pull(jnp.zeros_like(x).at[:, -1].set(1))
    assert np.count_nonzero(np.abs(seen).max(axis=(0, 2, 3, 4))) == (window or 5)


def test_half_precision_keeps_softmax_wide():
    out = spatial(jnp.bfloat16)(X.astype(jnp.bfloat16))
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(out.astype(jnp.float32), spatial()(X), atol=0.1)
