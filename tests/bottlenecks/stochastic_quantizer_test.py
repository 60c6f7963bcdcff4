"""Stochastic quantisation: its limits, its frequencies and its gradients."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.bottlenecks.stochastic_quantizer import StochasticQuantizer, commitment_loss
from pipeline.distributions.continuous import log_ratio

NUM_CODES, DIM = 6, 3


def create(variance: float) -> StochasticQuantizer:
    return StochasticQuantizer(
        num_codes=NUM_CODES, latent_channels=DIM, variance=variance, key=jax.random.key(0)
    )


@pytest.fixture(scope="module")
def vectors():
    return jax.random.normal(jax.random.key(1), (2, 4, 4, DIM))


@nnx.jit
def quantize(quantizer, x, key, gumbel_temperature):
    return quantizer(x, key, gumbel_temperature)


def distances(quantizer, x):
    return jnp.square(x[..., None, :] - quantizer.codebook[...]).sum(axis=-1)


def test_without_variance_it_is_vector_quantisation(vectors):
    quantizer = create(1e-6)
    nearest = distances(quantizer, vectors).argmin(axis=-1)
    latent = quantize(quantizer, vectors, jax.random.key(2), None)
    np.testing.assert_array_equal(latent.indices, nearest)
    np.testing.assert_array_equal(latent.z, quantizer.codebook[...][nearest])
    np.testing.assert_allclose(latent.kl, math.log(NUM_CODES), rtol=1e-5)
    np.testing.assert_allclose(
        quantize(quantizer, vectors, jax.random.key(2), 1.0).z, latent.z, atol=1e-6
    )


@pytest.mark.parametrize("variance", [1e-12, 0.1, 1.0, 1e4])
def test_the_kl_lies_between_zero_and_that_of_one_code(variance, vectors):
    quantizer = create(variance)
    latent = quantize(quantizer, vectors, None, None)
    assert latent.kl.shape == (2, 4, 4, 1)
    assert latent.kl.min() > -1e-5 and latent.kl.max() < math.log(NUM_CODES) + 1e-5
    exact = jax.nn.softmax(-distances(quantizer, vectors) / (2 * variance))
    entropy = -jax.scipy.special.xlogy(exact, exact).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(latent.kl, math.log(NUM_CODES) - entropy, atol=1e-4)
    chosen = jnp.take_along_axis(exact, latent.indices[..., None], axis=-1)
    np.testing.assert_allclose(jnp.exp(latent.log_q), chosen, atol=1e-4)


@pytest.mark.parametrize("gumbel_temperature", [None, 0.01])
def test_codes_come_as_often_as_the_softmax_says(gumbel_temperature, vectors):
    quantizer, num = create(1.0), 20_000
    x = jnp.broadcast_to(vectors[:1, :1, :1], (num, 1, 1, DIM))
    latent = quantize(quantizer, x, jax.random.key(3), gumbel_temperature)
    expected = jax.nn.softmax(-distances(quantizer, x[0, 0, 0]) / 2)
    shares = np.bincount(np.asarray(latent.indices).ravel(), minlength=NUM_CODES) / num
    np.testing.assert_allclose(shares, expected, atol=5 * math.sqrt(0.25 / num))
    np.testing.assert_allclose(
        latent.z.mean(axis=0)[0, 0], expected @ quantizer.codebook[...], atol=0.05
    )
    # E_q [log p - log q] is minus the KL, and E_q [p / q] is 1.
    ratio = np.asarray(log_ratio(latent))
    np.testing.assert_allclose(
        ratio.mean(), -latent.kl[0, 0, 0, 0], atol=5 * ratio.std() / math.sqrt(num)
    )
    np.testing.assert_allclose(
        np.exp(ratio).mean(), 1, atol=5 * np.exp(ratio).std() / math.sqrt(num)
    )


def test_gradients_reach_the_codes_the_vectors_and_the_variance(vectors):
    quantizer = create(1.0)

    def loss(quantizer, x):
        latent = quantizer(x, jax.random.key(4), 0.5)
        return (
            jnp.square(latent.z - 0.3).sum()
            + latent.kl.sum()
            + commitment_loss(x, latent.z, quantizer.variance()).sum()
        )

    for gradient in jax.tree.leaves(nnx.jit(nnx.grad(loss, argnums=(0, 1)))(quantizer, vectors)):
        assert np.isfinite(gradient).all() and (np.abs(gradient) > 0).all()


def test_half_precision_vectors_are_compared_in_float32(vectors):
    quantizer, x = create(1.0), vectors.astype(jnp.bfloat16)
    low, full = (
        quantize(quantizer, x, None, None),
        quantize(quantizer, x.astype(jnp.float32), None, None),
    )
    assert low.z.dtype == low.kl.dtype == jnp.float32
    np.testing.assert_array_equal(low.kl, full.kl)


def test_the_prior_draws_codes_and_without_a_key_gives_their_mean():
    quantizer = create(1.0)
    mean = quantizer.codebook[...].mean(axis=0)
    np.testing.assert_allclose(
        quantizer.prior((1, 2, 2), None), jnp.broadcast_to(mean, (1, 2, 2, DIM))
    )
    np.testing.assert_allclose(
        quantizer.prior((1, 2, 2), jax.random.key(0), 0.0)[0, 0, 0], mean, atol=1e-6
    )
    drawn = quantizer.prior((1, 30, 30), jax.random.key(0)).reshape(-1, DIM)
    found = jnp.abs(drawn[:, None] - quantizer.codebook[...]).max(axis=-1).min(axis=0)
    np.testing.assert_allclose(found, 0, atol=1e-6)
