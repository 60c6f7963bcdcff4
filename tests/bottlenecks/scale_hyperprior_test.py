"""The scale hyperprior: entropies of rounded Gaussians, and the parts of the rate."""

import jax
import jax.numpy as jnp
import numpy as np

from pipeline.bottlenecks.scale_hyperprior import ScaleHyperprior
from pipeline.distributions.continuous import log_normal_interval


def test_entropies_of_rounded_gaussians():
    """H of p(y) = Phi((y + 1/2) / s) - Phi((y - 1/2) / s) over all integers y, in bits."""

    @jax.jit
    def log_mass(scale):
        y = jnp.arange(-60.0, 61.0)
        return log_normal_interval((y - 0.5) / scale[:, None], (y + 0.5) / scale[:, None])

    found = np.asarray(log_mass(jnp.array([0.11, 0.5, 1.0, 4.0])), np.float64)
    mass = np.exp(found)
    np.testing.assert_allclose(mass.sum(axis=1), 1, atol=1e-5)
    bits = -(mass * found).sum(axis=1) / np.log(2)
    np.testing.assert_allclose(bits, [0.0001, 1.2412, 2.1048, 4.0508], atol=1e-4)


def test_evaluation_rounds_and_training_adds_noise_of_less_than_a_half():
    bottleneck = ScaleHyperprior(latent_channels=3, width=4, key=jax.random.key(0))
    h = 3 * jax.random.normal(jax.random.key(1), (2, 5, 6, 3))  # no multiple of 4

    @jax.jit
    def both(h):
        rounded, (noisy, aux) = bottleneck(h), bottleneck.learn(h, jax.random.key(2))
        z = jnp.round(bottleneck.hyper_latents(h))
        of_z = -bottleneck.density.log_mass(z).sum(axis=(1, 2, 3))
        log_scale = bottleneck.log_scales(z, 5, 6)
        y, scale = rounded.z, jnp.exp(log_scale)
        of_y = -log_normal_interval((y - 0.5) / scale, (y + 0.5) / scale).sum(axis=(1, 2, 3))
        return rounded, noisy, aux, of_y + of_z

    rounded, noisy, aux, rate = both(h)
    np.testing.assert_array_equal(rounded.z, np.round(h))
    gap = np.abs(noisy.z - h)
    assert 0.4 < gap.max() <= 0.5 and not aux
    assert rounded.kl.shape == noisy.kl.shape == h.shape
    np.testing.assert_allclose(rounded.kl.sum(axis=(1, 2, 3)), rate, rtol=1e-5)
    assert abs(float(noisy.kl.sum() / rounded.kl.sum()) - 1) < 0.3, "the relaxation is close"
