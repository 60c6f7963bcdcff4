"""Linear attention equals the quadratic form that it rearranges, and keeps its invariances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.core.errors import ConfigError
from pipeline.networks.dc_ae.linear_attention import LinearAttention, attend_linearly


def drawn(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape).astype(np.float32))


def with_products():
    """Return queries, keys and values in which each query has a positive product with some key."""
    query, key, value = drawn(3, 2, 6, 2, 4)
    return query.at[..., 0].set(1.0), key.at[:, 0, :, 0].set(1.0), value


def test_it_is_attention_with_weights_of_relu_products():
    query, key, value = with_products()
    scores = jnp.einsum("bqhd,bkhd->bhqk", nnx.relu(query), nnx.relu(key))
    weights = scores / scores.sum(axis=-1, keepdims=True)
    expected = jnp.einsum("bhqk,bkhd->bqhd", weights, value)
    np.testing.assert_allclose(attend_linearly(query, key, value), expected, atol=1e-5)


def test_equal_values_stay_and_a_token_without_products_gets_zero():
    query, key, value = with_products()
    same = jnp.broadcast_to(value[:, :1], value.shape)
    np.testing.assert_allclose(attend_linearly(query, key, same), same, rtol=1e-5)
    assert not attend_linearly(-jnp.abs(query), key, value).any()


def test_each_output_sees_all_pixels():
    attention = LinearAttention(8, head_dim=4, kernel_sizes=(3,), rngs=nnx.Rngs(0))
    x = drawn(1, 4, 6, 8)
    seen = jax.jit(jax.grad(lambda x: attention(x)[0, 0, 0].sum()))(x)
    assert (jnp.abs(seen).sum(axis=-1) > 0).all()


def test_heads_must_divide_the_channels():
    with pytest.raises(ConfigError, match="head_dim=3 must divide 8 channels"):
        LinearAttention(8, head_dim=3, rngs=nnx.Rngs(0))
