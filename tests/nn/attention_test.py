"""Attention against its definition, and which positions it mixes."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from pipeline.nn.attention import SpatialAttention, TemporalAttention
from pipeline.nn.norm import GroupNorm, LayerNorm

X = jax.random.normal(jax.random.key(0), (2, 3, 4, 5, 8))


def spatial(dtype=jnp.float32):
    return SpatialAttention(8, norm=GroupNorm(8, groups=4), rngs=nnx.Rngs(0), dtype=dtype)


def test_spatial_attention_is_over_the_pixels_of_a_frame():
    attention = spatial()

    @jax.jit
    def outputs(x):
        normed = attention.norm(x).reshape(6, 20, 8)
        scores = attention.query(normed) @ attention.key(normed).swapaxes(1, 2) / 8**0.5
        defined = attention.out(jax.nn.softmax(scores, axis=-1) @ attention.value(normed))
        return attention(x), x + defined.reshape(x.shape), attention(x[:, 1])

    out, expected, of_an_image = outputs(X)
    np.testing.assert_allclose(out, expected, atol=1e-5)
    np.testing.assert_allclose(of_an_image, out[:, 1], atol=1e-5)


def test_temporal_attention_is_over_the_frames_of_a_pixel():
    attention = TemporalAttention(8, norm=LayerNorm(8), rngs=nnx.Rngs(0))
    of_a_pixel = jax.jit(jax.jacobian(lambda x: attention(x).sum(-1)[0, :, 2, 2]))
    jacobian = np.array(of_a_pixel(X[:1])[:, 0])
    assert (np.abs(jacobian[:, :, 2, 2]).sum(-1) > 0).all()
    jacobian[:, :, 2, 2] = 0
    assert not jacobian.any()


def test_softmax_is_float32_for_bfloat16_inputs():
    out = jax.jit(spatial(jnp.bfloat16))(X.astype(jnp.bfloat16))
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(out.astype(jnp.float32), jax.jit(spatial())(X), atol=0.1)
