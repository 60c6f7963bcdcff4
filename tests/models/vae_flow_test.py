"""VAE with a flow after the Gaussian posterior: its density, its KL, and its mode without a key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from flow_checks import perturbed

from pipeline import models
from pipeline.core.errors import ConfigError
from pipeline.distributions.continuous import gaussian_log_prob, log_ratio

RECIPE = dict(name="vae.VAE", image_size=4, image_channels=1, latent_dim=3, channels=(4,))
FLOWS = [
    dict(name="planar.Planar", depth=2),
    dict(name="coupling.RealNVP", depth=1, hidden=8),
    dict(name="autoregressive.IAF", depth=1, hidden=8),
    dict(name="autoregressive.MAF", depth=1, hidden=8),
    dict(name="glow.Glow", depth=1, hidden=8),
]
every_flow = pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow["name"])


def create(flow):
    return models.create(RECIPE | dict(hidden=(), flow=flow), rngs=nnx.Rngs(0))


@nnx.jit
def encode(model, image, key=None):
    return model.encode(image, key=key)[0]


@every_flow
def test_posterior_is_a_normalized_density(flow):
    model = create(flow)
    perturbed(model.flow, 0.05)
    image = jnp.full((20_000, 4, 4, 1), 100, jnp.uint8)
    latent = encode(model, image, jax.random.key(0))
    ratio = np.asarray(log_ratio(latent), np.float64)
    np.testing.assert_allclose(latent.kl.sum(axis=1), -ratio, atol=1e-4)
    # E_q[p(z) / q(z | x)] is 1, and the KL is then above 0 by Jensen's inequality.
    weights = np.exp(ratio)
    assert abs(weights.mean() - 1) < 5 * weights.std() / len(weights) ** 0.5
    assert weights.std() < 3 and -ratio.mean() > 0


@every_flow
def test_log_q_is_the_gaussians_density_less_the_volume_change(flow):
    model = create(flow)
    perturbed(model.flow)
    image = jax.random.uniform(jax.random.key(1), (5, 4, 4, 1), minval=-1)
    latent = encode(model, image, jax.random.key(0))
    start = model.flow.inverse(latent.z)
    expected = gaussian_log_prob(start, latent.mean, latent.logvar) - model.flow(start)[1]
    np.testing.assert_allclose(latent.log_q.sum(axis=1), expected.sum(axis=1), atol=1e-3)


def test_without_a_key_the_mean_goes_through_the_flow():
    model = create(dict(name="autoregressive.IAF"))
    image = jax.random.uniform(jax.random.key(1), (5, 4, 4, 1), minval=-1)
    latent = encode(model, image)
    np.testing.assert_allclose(latent.z, model.flow(latent.mean)[0], rtol=1e-5)


def test_flow_adds_parameters_and_changes_no_other():
    plain = nnx.state(create(None), nnx.Param)
    flowing = nnx.state(create(dict(name="planar.Planar")), nnx.Param)
    del flowing["flow"]
    jax.tree.map(np.testing.assert_array_equal, plain, flowing)


def test_unknown_flow_is_a_config_error():
    with pytest.raises(ConfigError, match=r"model\.flow\.name='planar\.Radial'"):
        create(dict(name="planar.Radial"))
    with pytest.raises(ConfigError, match=r"model\.flow\.depths is not a setting of Planar"):
        create(dict(name="planar.Planar", depths=2))
