"""VAE with a prior: its KL, its draws and its parameters; without one nothing changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline import models
from pipeline.core import parameters
from pipeline.core.errors import ConfigError
from pipeline.distributions.continuous import gaussian_log_prob, log_ratio

RECIPE = dict(name="vae.VAE", image_size=4, image_channels=1, latent_dim=3, channels=(4,))
PRIORS = [
    dict(name="ar1.AR1", alpha=0.9),
    dict(name="flow.FlowPrior", flow=dict(name="coupling.RealNVP", depth=1, hidden=8)),
    dict(name="mixture.GaussianMixture", num_components=3),
    dict(name="vamp.VampPrior", num_pseudo_inputs=3),
]


def create(prior=None, **changes):
    return models.create(RECIPE | dict(hidden=(), prior=prior) | changes, rngs=nnx.Rngs(0))


@nnx.jit
def values(model, image, key):
    (latent,) = model.encode(image, key=key)
    drawn = model.decode((), num=2, key=key, temperature=0.5)
    return latent, model.prior.log_prob(latent.z), drawn.mean(), model.decode((), num=2).mean()


@pytest.mark.parametrize("prior", PRIORS, ids=lambda prior: prior["name"])
def test_the_kl_and_the_bound_use_the_prior(prior):
    model = create(prior)
    image = jax.random.uniform(jax.random.key(1), (5, 4, 4, 1), minval=-1)
    latent, log_p, drawn, still = values(model, image, jax.random.key(0))
    np.testing.assert_allclose(latent.log_p, log_p, rtol=1e-5, atol=1e-5)
    assert latent.prior_mean is latent.prior_logvar is None
    log_q = gaussian_log_prob(latent.z, latent.mean, latent.logvar)
    np.testing.assert_allclose(log_ratio(latent), (log_p - log_q).sum(axis=1), atol=1e-4)
    if hasattr(model.prior, "kl"):
        assert float(latent.kl.sum(axis=1).min()) >= model.prior.committed_rate
    else:
        np.testing.assert_allclose(latent.kl, log_q - log_p, atol=1e-4)
    assert not np.allclose(drawn[0], drawn[1]) and (still[0] == still[1]).all()


def test_a_named_standard_normal_is_what_a_vae_without_a_prior_has():
    image = jax.random.uniform(jax.random.key(1), (5, 4, 4, 1), minval=-1)
    one, other = (
        values(create(prior), image, jax.random.key(0))
        for prior in (None, dict(name="standard_normal.StandardNormal"))
    )
    for array, same in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(array, same)
    latent = one[0]
    assert latent.log_p is None and not latent.prior_mean.any() and not latent.prior_logvar.any()


def test_a_prior_adds_its_own_parameters_and_changes_no_other():
    _, plain, _ = parameters.split(create())
    _, with_prior, _ = parameters.split(create(PRIORS[-1]))
    for name, array in plain.items():
        np.testing.assert_array_equal(with_prior[name], array)
    assert set(with_prior) - set(plain) == {"prior.pseudo_inputs"}


def test_a_flow_behind_the_posterior_goes_with_a_prior():
    model = create(PRIORS[2], flow=dict(name="planar.Planar", depth=1))
    latent, log_p, *_ = values(model, jnp.zeros((2, 4, 4, 1)), jax.random.key(0))
    np.testing.assert_allclose(latent.kl, latent.log_q - log_p, atol=1e-4)


def test_a_model_with_labels_takes_priors_that_need_no_posterior():
    labels = dict(conditioning=dict(name="film.FiLM", num_classes=3))
    create(PRIORS[2], **labels)
    with pytest.raises(ConfigError, match="made of posteriors of images alone"):
        create(PRIORS[3], **labels)


def test_unknown_prior_is_a_config_error():
    with pytest.raises(ConfigError, match=r"model\.prior\.name='vamp\.Vamp'"):
        create(dict(name="vamp.Vamp"))
