"""Likelihood heads: channels, likelihoods and errors of recipes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.distributions import heads


@pytest.mark.parametrize(
    "recipe, channels",
    [
        ("bernoulli", 3),
        ("gaussian", 3),
        (dict(name="discretized_gaussian", scale=0.1), 3),
        (dict(name="discretized_gaussian", scale="pixel"), 6),
        (dict(name="categorical", bits=5), 96),
        (dict(name="logistic_mixture", num_mixtures=4), 40),
    ],
)
def test_heads_return_a_likelihood_of_images(recipe, channels):
    head = heads.create(recipe, 3)
    assert head.num_channels == channels
    features = 0.1 * jax.random.normal(jax.random.key(0), (2, 4, 4, channels)).astype(jnp.bfloat16)
    image = jnp.zeros((2, 4, 4, 3), jnp.uint8)

    @jax.jit
    def values(features):
        likelihood = head(features)
        pictures = likelihood.mean(), likelihood.sample(jax.random.key(0))
        return likelihood.log_prob(image), pictures

    log_prob, pictures = values(features)
    assert log_prob.shape == (2,) and log_prob.dtype == jnp.float32
    for shown in pictures:
        assert shown.shape == image.shape and np.abs(shown).max() <= 1


def test_a_fixed_gaussian_is_a_weighted_squared_error():
    image = jnp.asarray(np.random.default_rng(0).integers(0, 256, (1, 4, 4, 1)), jnp.uint8)
    head = heads.create(dict(name="gaussian", scale=0.5), 1)

    def nll(x):
        return -head(x).log_prob(image)[0]

    x = jnp.zeros((1, 4, 4, 1))
    target = image / 127.5 - 1
    np.testing.assert_allclose(
        jax.jit(jax.grad(nll))(x), (x - target) / 0.5**2, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    "recipe, channels, message",
    [
        ("bernouli", 3, "did you mean 'bernoulli'"),
        (dict(name="gaussian", sacle=1.0), 3, "did you mean 'scale'"),
        (dict(name="gaussian", scale="learnt"), 3, "'learned' or 'pixel'"),
        (dict(name="gaussian", start=0), 3, "start=0 must be positive"),
        (dict(name="gaussian", scale=0.0), 3, "positive"),
        (dict(name="categorical", bits=9), 3, "from 1 to 8"),
        (dict(name="logistic_mixture"), 1, "3 channels"),
        (dict(num_mixtures=3), 3, "model.likelihood.name"),
    ],
)
def test_invalid_recipes_are_config_errors(recipe, channels, message):
    with pytest.raises(ConfigError, match=message):
        heads.create(recipe, channels)
