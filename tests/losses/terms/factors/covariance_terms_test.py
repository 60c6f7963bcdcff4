"""DIP-VAE's penalties on covariances, against NumPy's."""

import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.core.types import Latent, Outputs
from pipeline.losses.terms.factors.aggregate_covariance import aggregate_covariance
from pipeline.losses.terms.factors.mean_covariance import mean_covariance

TERMS = [mean_covariance, aggregate_covariance]


def value_of(term, mean, logvar, mask=None):
    mean, logvar = jnp.asarray(mean, jnp.float32), jnp.asarray(logvar, jnp.float32)
    batch = {} if mask is None else {"mask": jnp.asarray(mask)}
    return term.value(Outputs(None, (Latent(mean, mean, mean, logvar),)), batch, 0, {})


def test_an_identity_covariance_costs_nothing():
    corners = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    certain = np.full(corners.shape, -30.0)
    half = np.full(corners.shape, np.log(0.5))
    np.testing.assert_allclose(value_of(mean_covariance(), corners, half), 0, atol=1e-6)
    np.testing.assert_allclose(value_of(aggregate_covariance(), corners, certain), 0, atol=1e-6)
    shrunk = corners * np.sqrt(0.5)  # variance 1/2 of the means, and 1/2 of each posterior
    np.testing.assert_allclose(value_of(aggregate_covariance(), shrunk, half), 0, atol=1e-6)


@pytest.mark.parametrize("create", TERMS)
def test_the_penalty_is_that_of_numpys_covariance(create):
    rng = np.random.default_rng(0)
    mean, logvar = rng.normal(size=(7, 3)), rng.normal(size=(7, 3))
    mask = np.array([1, 1, 1, 1, 1, 0, 0], np.float32)
    covariance = np.cov(mean[:5].T, bias=True)
    if create is aggregate_covariance:
        covariance = covariance + np.diag(np.exp(logvar[:5]).mean(axis=0))
    off = covariance - np.diag(np.diag(covariance))
    expected = (off**2).sum() + 4 * ((np.diag(covariance) - 1) ** 2).sum()
    found = value_of(create(diagonal=4.0), mean, logvar, mask)
    assert found.shape == (7,)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_maps_of_latents_are_vectors_and_the_log_has_one_number():
    mean = np.random.default_rng(0).normal(size=(4, 2, 1, 3))
    term = mean_covariance()
    value = value_of(term, mean, mean)
    np.testing.assert_allclose(value, value_of(term, mean.reshape(4, 6), mean.reshape(4, 6)))
    assert term.log is not None and term.log(value, {}, 0)["mean_covariance"].shape == ()
