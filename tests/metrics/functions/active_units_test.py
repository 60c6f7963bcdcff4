import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.core.types import Latent
from pipeline.distributions.continuous import gaussian_kl
from pipeline.metrics.functions.active_units import ActiveUnits, UnitMoments


def gaussian(mean, logvar, prior_mean=None, prior_logvar=None):
    prior = (0.0, 0.0) if prior_mean is None else (prior_mean, prior_logvar)
    return Latent(mean, gaussian_kl(mean, logvar, *prior), mean, logvar, prior_mean, prior_logvar)


@pytest.fixture
def latent():
    # Units: the prior itself (inactive); a mean that moves (active by both); a constant mean far
    # from the prior's with a narrow posterior (a KL, but no information about x); a mean that moves
    # by less than the threshold.
    moving = jax.random.normal(jax.random.key(0), (100,))
    mean = jnp.stack([0 * moving, moving, jnp.full(100, 3.0), 0.05 * moving], axis=1)
    return gaussian(mean, jnp.array([0.0, -2.0, -2.0, 0.0]) + jnp.zeros((100, 4)))


def test_the_two_definitions_differ(latent):
    units = ActiveUnits()
    units.add(UnitMoments.of(latent, jnp.ones(100)))
    assert units.result() == dict(units=4, by_variance=1, by_kl=2)


def test_moments_of_padded_batches_merge_to_the_moments_of_the_set(latent):
    parts = ActiveUnits()
    for start, count in ((0, 40), (40, 1), (41, 59)):
        pad = 60 - count
        rows = jax.tree.map(
            lambda x, s=start, c=count, p=pad: jnp.pad(
                x[s : s + c], ((0, p), (0, 0)), constant_values=99.0
            ),
            latent,
        )
        parts.add(UnitMoments.of(rows, (jnp.arange(60) < count).astype(jnp.float32)))
    mean = np.asarray(latent.mean, np.float64)
    assert parts.count == 100
    np.testing.assert_allclose(parts.mean, mean.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(parts.squares / 100, mean.var(axis=0), atol=1e-6)
    np.testing.assert_allclose(parts.kl, np.asarray(latent.kl).sum(axis=0), rtol=1e-5, atol=1e-5)
    other = ActiveUnits()
    other.add(ActiveUnits())
    other.add(parts)
    assert other.result() == parts.result()


def test_a_unit_is_inactive_when_its_posterior_follows_the_prior():
    prior_mean = 5 * jax.random.normal(jax.random.key(0), (50, 2, 2, 1))
    prior_logvar = jnp.full_like(prior_mean, -8.0)
    idle = gaussian(prior_mean, prior_logvar, prior_mean, prior_logvar)
    # The mean moves by one deviation of the prior, which is only 0.018.
    step = jnp.exp(-4.0) * jax.random.normal(jax.random.key(1), prior_mean.shape)
    busy = gaussian(prior_mean + step, prior_logvar, prior_mean, prior_logvar)
    for latent, active in ((idle, 0), (busy, 4)):
        units = ActiveUnits()
        units.add(UnitMoments.of(latent, jnp.ones(50)))
        assert units.result() == dict(units=4, by_variance=active, by_kl=active)


def test_discrete_latents_have_no_mean():
    with pytest.raises(ValueError, match="Gaussian latent"):
        UnitMoments.of(Latent(jnp.zeros((2, 3)), jnp.zeros((2, 3))), jnp.ones(2))
