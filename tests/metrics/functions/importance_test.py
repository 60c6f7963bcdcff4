import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.core.types import Latent, Outputs
from pipeline.distributions.continuous import gaussian_kl, gaussian_log_prob, gaussian_sample
from pipeline.metrics.functions.importance import LogMeanExp, log_weight

# A linear-Gaussian model, z ~ N(0, 1), x | z ~ N(1.3 z, 0.5), at x = 0.7: everything is known in
# closed form.
WEIGHT, VARIANCE, X = 1.3, 0.5, 0.7
LOG_P = float(gaussian_log_prob(jnp.array(X), 0.0, float(np.log(WEIGHT**2 + VARIANCE))))


class LinearGaussian:
    """A likelihood with only the method that log_weight calls."""

    def __init__(self, z):
        self.z = z

    def log_prob(self, image):
        return gaussian_log_prob(image, WEIGHT * self.z, float(np.log(VARIANCE)))[:, 0]


@jax.jit
def sample_log_weight(key, mean, logvar):
    z = gaussian_sample(key, mean, logvar)
    latent = Latent(z, gaussian_kl(mean, logvar), mean, logvar)
    return log_weight(Outputs(LinearGaussian(z), (latent,)), jnp.full_like(z, X))


def bound(num_samples, mean, variance, num_examples=20_000):
    mean = jnp.full((num_examples, 1), mean)
    logvar = jnp.full((num_examples, 1), float(np.log(variance)))
    running = LogMeanExp.create(num_examples)
    for k in range(num_samples):
        running = running.add(
            sample_log_weight(jax.random.fold_in(jax.random.key(0), k), mean, logvar)
        )
    return running.value()


@pytest.mark.parametrize(
    "num_samples, expected", [(1, -2.266), (5, -1.489), (50, -1.428), (500, -1.423)]
)
def test_the_bound_tightens_to_the_known_log_likelihood(num_samples, expected):
    np.testing.assert_allclose(LOG_P, -1.42276, atol=1e-5)
    values = bound(num_samples, mean=0.1, variance=0.81)
    error = 4 * float(values.std()) / np.sqrt(values.size)
    np.testing.assert_allclose(values.mean(), expected, atol=error + 1e-3)


def test_under_the_true_posterior_every_weight_is_the_likelihood():
    variance = 1 / (1 + WEIGHT**2 / VARIANCE)
    np.testing.assert_allclose(
        bound(3, WEIGHT / VARIANCE * X * variance, variance, 100), LOG_P, atol=1e-5
    )


@pytest.mark.parametrize("shift", [-50_000.0, 0.0, 50_000.0])
def test_log_mean_exp_is_exact_for_large_weights(shift):
    log_weights = np.random.default_rng(0).normal(0, 3, (7, 4)).astype(np.float32)
    running = LogMeanExp.create(4)
    for row in log_weights:
        running = running.add(jnp.asarray(row + shift, jnp.float32))
    expected = np.log(np.exp(log_weights).mean(axis=0))
    np.testing.assert_allclose(running.value() - shift, expected, atol=0.02 if shift else 1e-5)
