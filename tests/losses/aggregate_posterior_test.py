"""The estimate of q(z) is unbiased, exact for a whole set, and knows the KL's three parts."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.types import Latent, Outputs
from pipeline.distributions.continuous import gaussian_kl, log_ratio
from pipeline.losses.aggregate_posterior import log_densities, log_weights
from pipeline.losses.terms.factors.dimension_kl import dimension_kl
from pipeline.losses.terms.factors.index_code_mi import index_code_mi
from pipeline.losses.terms.factors.total_correlation import total_correlation
from pipeline.training.state import mesh as meshes
from pipeline.training.state import sharding


def latent_of(mean, logvar, seed=0, **more):
    noise = jax.random.normal(jax.random.key(seed), mean.shape)
    return Latent(
        mean + jnp.exp(logvar / 2) * noise, gaussian_kl(mean, logvar), mean, logvar, **more
    )


def random_latent(b=5, d=3):
    keys = jax.random.split(jax.random.key(1), 2)
    mean = jax.random.normal(keys[0], (b, d))
    return latent_of(mean, 0.5 * jax.random.normal(keys[1], (b, d)))


@functools.partial(jax.jit, static_argnums=1)
def terms_of(latent, num_examples, mask=None):
    """Return the values of the three terms, [3 b]."""
    outputs, batch = Outputs(None, (latent,)), {} if mask is None else {"mask": mask}
    terms = [
        create(num_examples=num_examples)
        for create in (index_code_mi, total_correlation, dimension_kl)
    ]
    return jnp.stack([term.value(outputs, batch, 0, {}) for term in terms])


def test_an_example_weighs_one_nth_in_its_own_row():
    weights = np.exp(log_weights(jnp.ones(6), 50))
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.diagonal(weights), 1 / 50, rtol=1e-6)
    np.testing.assert_allclose(weights[0, 1:], 49 / 50 / 5, rtol=1e-6)
    np.testing.assert_allclose(np.exp(log_weights(jnp.ones(6), 6)), 1 / 6, rtol=1e-6)
    padded = np.exp(log_weights(jnp.array([1.0, 1.0, 1.0, 0.0]), 50))
    np.testing.assert_allclose(padded[0], [1 / 50, 0.49, 0.49, 0], rtol=1e-6)


def test_the_density_is_unbiased_over_all_minibatches_of_a_set():
    whole = random_latent(b=6)

    @jax.jit
    def density_of_the_first(rows):
        outputs = Outputs(None, (jax.tree.map(lambda x: x[rows], whole),))
        return jnp.exp(log_densities(outputs, {}, num_examples=6, where="term").aggregate[0])

    parts = [(0, *others) for others in itertools.combinations(range(1, 6), 2)]
    found = jax.vmap(density_of_the_first)(jnp.array(parts))
    np.testing.assert_allclose(found.mean(), density_of_the_first(jnp.arange(6)), rtol=1e-5)


@pytest.mark.parametrize("num_examples", [5, 1000])
def test_the_three_parts_add_up_to_the_kl_of_the_sample(num_examples):
    latent = random_latent()
    total = terms_of(latent, num_examples).sum(axis=0)
    np.testing.assert_allclose(total, -log_ratio(latent), rtol=1e-4, atol=1e-5)


def test_a_learned_prior_is_the_one_that_the_kl_is_to():
    latent = random_latent().replace(
        prior_mean=jnp.full((5, 3), 0.5), prior_logvar=jnp.full((5, 3), 0.2)
    )
    total = terms_of(latent, 100).sum(axis=0)
    np.testing.assert_allclose(total, -log_ratio(latent), rtol=1e-4, atol=1e-5)


def test_the_total_correlation_of_a_gaussian():
    """TC of two standard normals with correlation 0.6 is -log(1 - 0.36) / 2."""
    cov, noise = np.array([[1.0, 0.6], [0.6, 1.0]]), 0.3
    draws = np.random.default_rng(0).normal(size=(1000, 2))
    draws = (draws - draws.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(draws.T))).T
    mean = jnp.asarray(draws @ np.linalg.cholesky(cov - noise * np.eye(2)).T, jnp.float32)
    latent = latent_of(mean, jnp.full_like(mean, np.log(noise)))
    mi, tc, kl = terms_of(latent, len(mean)).mean(axis=1)
    np.testing.assert_allclose(tc, 0.2231, atol=0.03)
    np.testing.assert_allclose(kl, 0, atol=0.03)
    entropy = np.log(np.linalg.det(cov)) / 2 - np.log(noise)  # of q(z), less that of q(z | x)
    np.testing.assert_allclose(mi, entropy, atol=0.05)


def test_the_mutual_information_of_posteriors_far_apart_is_log_n():
    mean = 100.0 * jnp.arange(4.0)[:, None] * jnp.ones((4, 2))
    mi = terms_of(latent_of(mean, jnp.zeros_like(mean)), 64)[0]
    np.testing.assert_allclose(mi, np.log(64), rtol=1e-5)


def test_padding_has_no_effect():
    latent = random_latent()
    mask = jnp.array([1.0, 1.0, 1.0, 1.0, 0.0])
    part = jax.tree.map(lambda x: x[:4], latent)
    padded = terms_of(latent, 20, mask)[:, :4]
    np.testing.assert_allclose(padded, terms_of(part, 20), rtol=1e-5)


def test_devices_have_no_effect():
    latent = random_latent(b=8)
    mesh = meshes.create(devices=jax.devices()[:4])
    spread = jax.device_put(latent, sharding.batch_sharding(mesh))
    np.testing.assert_allclose(terms_of(spread, 20), terms_of(latent, 20), rtol=1e-5)


def test_what_cannot_be_estimated_is_refused():
    latent = random_latent()
    with pytest.raises(ConfigError, match=r"total_correlation\.num_examples=0 must be the number"):
        total_correlation()
    with pytest.raises(ConfigError, match=r"which has 5 and must have from 2 to .*num_examples=4"):
        terms_of(latent, 4)
    for latents in (
        (latent, latent),
        (latent.replace(mean=None),),
        (latent.replace(log_q=latent.z),),
    ):
        with pytest.raises(ConfigError, match="one layer of Gaussian latents without a flow"):
            total_correlation(num_examples=9).value(Outputs(None, latents), {}, 0, {})
