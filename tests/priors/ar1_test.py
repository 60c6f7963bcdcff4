"""The committed rate of delta-VAE's prior, and that no posterior has a smaller KL."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.core.errors import ConfigError
from pipeline.priors.ar1 import AR1

kl = nnx.jit(lambda prior, mean, logvar: prior.kl(mean, logvar))


@pytest.mark.parametrize(
    ("alpha", "rate"),
    [(0.5, 7.0613), (0.8, 15.8464), (0.9, 19.2235), (0.95, 21.1022), (0.99, 23.1361)],
)
def test_the_committed_rate_is_reached_at_its_posterior_alone(alpha, rate):
    prior = AR1(shape=(64,), alpha=alpha)
    np.testing.assert_allclose(prior.committed_rate, rate, atol=5e-5)
    inside = (1 - alpha**2) / (1 + alpha**2)
    variances = np.full(64, inside, np.float32)
    variances[[0, -1]] = 1 - alpha**2
    best = jnp.log(jnp.asarray(variances))[None]
    np.testing.assert_allclose(kl(prior, 0 * best, best).sum(), rate, atol=2e-4)
    others = best + 0.3 * jax.random.normal(jax.random.key(0), (200, 64))
    means = 0.1 * jax.random.normal(jax.random.key(1), (200, 64))
    assert (kl(prior, means, others).sum(axis=1) > rate).all()


def test_channels_are_independent_and_neighbours_correlate():
    prior = AR1(shape=(5, 2), alpha=(0.9, 0.5))
    parts = [AR1(shape=(5,), alpha=alpha) for alpha in (0.9, 0.5)]
    np.testing.assert_allclose(prior.committed_rate, sum(part.committed_rate for part in parts))
    z = np.asarray(jax.jit(lambda: prior.sample(jax.random.key(0), 20_000))())
    np.testing.assert_allclose(z.std(axis=0), 1, atol=0.03)
    for channel, alpha in enumerate((0.9, 0.5)):
        correlation = np.corrcoef(z[:, :, channel].T)
        np.testing.assert_allclose(np.diag(correlation, 1), alpha, atol=0.03)
        np.testing.assert_allclose(np.diag(correlation, 2), alpha**2, atol=0.03)
    assert abs(np.corrcoef(z[:, 2].T)[0, 1]) < 0.03


def test_impossible_settings_are_config_errors():
    with pytest.raises(ConfigError, match=r"n of 2 or more, and these have shape \[1\]"):
        AR1(shape=(1,))
    with pytest.raises(ConfigError, match="one number or 2, the number of channels"):
        AR1(shape=(5, 2), alpha=(0.9, 0.5, 0.1))
