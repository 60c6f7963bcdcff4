"""A linear VAE at its optimum, which is probabilistic PCA (arXiv 1911.02469): the ELBO is the exact
log-likelihood, a unit's KL is half the log of its eigenvalue over the noise's variance, and the
units in use are those of the eigenvalues above it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from pipeline import priors
from pipeline.core import pixels
from pipeline.core.types import Outputs
from pipeline.distributions.continuous import Gaussian, gaussian_sample
from pipeline.losses import objective
from pipeline.metrics.functions.active_units import ActiveUnits, UnitMoments
from pipeline.metrics.functions.importance import log_weight

EXAMPLES, VALUES, LATENTS = 400, 5, 3


class LinearVAE:
    """p(x | z) = N(W z + m, s^2) with the W that is best for s^2, and the exact q(z | x)."""

    def __init__(self, x: np.ndarray, noise: float, scale: float = 1.0):
        eigenvalues, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
        self.eigenvalues, axes = eigenvalues[::-1], vectors[:, ::-1][:, :LATENTS]
        gains = np.sqrt(np.maximum(self.eigenvalues[:LATENTS] - noise, 0)) * scale
        self.mean, self.noise, self.w = x.mean(axis=0), noise, axes * gains
        self.variances = noise / (gains**2 + noise)
        self.v = self.w / (gains**2 + noise)
        self.prior = priors.create(None, shape=(LATENTS,))

    def posterior(self, image):
        mean = (pixels.to_float(image).reshape(len(image), -1) - self.mean) @ self.v
        return mean, jnp.broadcast_to(jnp.log(jnp.float32(self.variances)), mean.shape)

    def outputs(self, image, z):
        location = (z @ self.w.T + self.mean).reshape(image.shape)
        recon = Gaussian(location, jnp.float32(0.5 * np.log(self.noise)))
        return Outputs(recon, (priors.latent(self.prior, z, *self.posterior(image)),))

    def log_likelihood(self, x):
        """Return log p(x), of the density per value's spacing as `Gaussian` has it."""
        covariance = self.w @ self.w.T + self.noise * np.eye(VALUES)
        exact = scipy.stats.multivariate_normal(self.mean, covariance).logpdf(x)
        return exact + VALUES * np.log(2 / 255)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(VALUES, VALUES)))[0]
    x = rng.normal(size=(EXAMPLES, VALUES)) * [40, 25, 15, 8, 7] @ rotation + 128
    return np.clip(x, 0, 255).astype(np.uint8).reshape(EXAMPLES, 1, VALUES, 1)


def elbo(model, image):
    """Return the ELBO of each image, and log p(x, z) - log q(z | x) at a sample.

    The expectation over z of a quadratic is its mean over two points for each axis, at sqrt(d)
    deviations from the mean.
    """
    loss, _ = objective.create({"distortion": {}, "rate": {}})

    @jax.jit
    def values(image):
        mean, logvar = model.posterior(image)
        steps = np.sqrt(LATENTS) * np.concatenate([np.eye(LATENTS), -np.eye(LATENTS)])
        batch = {"image": image, "mask": jnp.ones(len(image))}
        points = mean + jnp.exp(logvar / 2) * jnp.float32(steps)[:, None]
        negative = [loss(model.outputs(image, z), batch, 0, {}, {}).total for z in list(points)]
        sample = model.outputs(image, gaussian_sample(jax.random.key(0), mean, logvar))
        return -sum(negative) / len(negative), log_weight(sample, image), sample.latents[0]

    return values(jnp.asarray(image))


@pytest.mark.parametrize("active", [3, 2])
def test_the_elbo_at_the_optimum_is_the_exact_log_likelihood(images, active):
    x = (images / 127.5 - 1).reshape(EXAMPLES, VALUES)
    eigenvalues = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
    # The best noise for three latents is the mean of the eigenvalues left out.
    noise = eigenvalues[LATENTS:].mean() if active == LATENTS else eigenvalues[1:3].mean()
    model = LinearVAE(x, noise)
    bound, weight, latent = elbo(model, images)
    exact = model.log_likelihood(x)
    np.testing.assert_allclose(bound, exact, atol=1e-3)
    np.testing.assert_allclose(weight, exact, atol=1e-3)
    rates = np.maximum(0.5 * np.log(eigenvalues[:LATENTS] / noise), 0)
    np.testing.assert_allclose(latent.kl.mean(axis=0), rates, atol=1e-4)
    units = ActiveUnits()
    units.add(UnitMoments.of(latent, jnp.ones(EXAMPLES)))
    assert units.result() == dict(units=LATENTS, by_variance=active, by_kl=active)
    worse = [elbo(LinearVAE(x, noise, scale), images)[0].mean() for scale in (0.95, 1.05)]
    assert max(worse) < bound.mean() - 1e-3
