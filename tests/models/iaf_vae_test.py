"""ResNet VAE with IAF: one-sample KL, the flow's log-determinant, importance-weighted bound."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline import models
from pipeline.core.errors import ConfigError
from pipeline.distributions.continuous import gaussian_kl, gaussian_log_prob, log_ratio

SMALL = dict(
    name="iaf_vae.IAFVAE", image_size=8, image_channels=1, num_scales=2, blocks=1, width=4, zdim=2
)
SMALL |= dict(likelihood="bernoulli")


def create(**changes):
    """Return a model with perturbed weights, so that no layer is as initialized."""
    model = models.create(SMALL | changes, rngs=nnx.Rngs(0))
    leaves, tree = jax.tree.flatten(nnx.state(model, nnx.Param))
    keys = jax.random.split(jax.random.key(5), len(leaves))
    nnx.update(
        model,
        jax.tree.unflatten(
            tree, [x + 0.2 * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves)]
        ),
    )
    return model


@pytest.fixture(scope="module")
def image():
    return jnp.asarray(np.random.default_rng(0).integers(0, 256, (1, 8, 8, 1)), jnp.uint8)


@nnx.jit
def encode(model, image, key):
    return model.encode(image, key=key)


def test_without_flows_the_mean_of_the_one_sample_kl_is_the_closed_form(image):
    top = encode(create(flow_depth=0), jnp.repeat(image, 20_000, axis=0), jax.random.key(0))[0]
    exact = gaussian_kl(top.mean, top.logvar, top.prior_mean, top.prior_logvar)[0]
    error = top.kl.std(axis=0) / np.sqrt(20_000)
    assert (
        float(exact.max()) > 0.05
        and (jnp.abs(top.kl.mean(axis=0) - exact) < 5 * error + 1e-5).all()
    )


def test_the_kl_is_of_the_density_through_the_flow(image):
    model = create(flow_depth=1)
    latents = encode(model, image, jax.random.key(0))
    for latent in latents:
        prior = gaussian_log_prob(latent.z, latent.prior_mean, latent.prior_logvar)
        np.testing.assert_allclose(latent.kl, latent.log_q - prior, atol=1e-5)
        np.testing.assert_allclose(
            log_ratio(latent), -latent.kl.sum(axis=(1, 2, 3)), rtol=1e-4, atol=1e-4
        )
        # Without the flow's volume it would be the Gaussian's density.
        assert not np.allclose(
            latent.log_q, gaussian_log_prob(latent.z, latent.mean, latent.logvar), atol=0.05
        )


def test_decode_gives_the_likelihood_of_the_same_latents(image):
    model = create(flow_depth=1)
    outputs = nnx.jit(lambda model: model(dict(image=image), key=jax.random.key(0), train=False))(
        model
    )
    again = nnx.jit(lambda model: model.decode([latent.z for latent in outputs.latents]))(model)
    np.testing.assert_allclose(again.mean(), outputs.recon.mean(), atol=1e-5)


def test_settings_that_cannot_work():
    with pytest.raises(ConfigError, match="num_scales"):
        models.create(SMALL | dict(num_scales=4), rngs=nnx.Rngs(0))
