"""Guidance is a product of powers of two likelihoods, and refused where it would be none."""

import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.distributions import heads
from pipeline.distributions.guidance import guided

WITH, WITHOUT = (jnp.full((1, 1, 1, 1), value) for value in (0.7, -0.4))


def test_pixels_follow_the_product_of_powers():
    head = heads.create("bernoulli", 1)
    pixels = [jnp.full((1, 1, 1, 1), value, jnp.uint8) for value in (0, 255)]

    def log_probs(features):
        return np.array([float(head(features).log_prob(pixel)[0]) for pixel in pixels])

    product = 2.5 * log_probs(WITH) - 1.5 * log_probs(WITHOUT)
    expected = product - np.log(np.exp(product).sum())
    np.testing.assert_allclose(log_probs(guided(head, WITH, WITHOUT, 2.5)), expected, atol=1e-6)


def test_scales_0_and_1_are_the_two_decoders():
    head = heads.create(dict(name="gaussian", scale=0.1), 1)
    np.testing.assert_array_equal(guided(head, WITH, WITHOUT, 0.0), WITHOUT)
    np.testing.assert_allclose(guided(head, WITH, WITHOUT, 1.0), WITH, rtol=1e-6)


@pytest.mark.parametrize(
    "likelihood, channels", [("logistic_mixture", 3), (dict(name="gaussian", scale="pixel"), 1)]
)
def test_parameters_that_are_not_natural_are_refused(likelihood, channels):
    with pytest.raises(ConfigError, match=r"model\.likelihood must be bernoulli, categorical"):
        guided(heads.create(likelihood, channels), WITH, WITHOUT, 2.0)
