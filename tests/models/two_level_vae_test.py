"""The two-level VAE: its size, the order of its levels, and the prior of the top one."""

import jax
import numpy as np
from flax import nnx

from pipeline import models
from pipeline.core import parameters
from pipeline.distributions.continuous import gaussian_kl, gaussian_log_prob, log_ratio

SMALL = dict(name="two_level_vae.TwoLevelVAE", image_size=4, latent_dims=(3, 2), hidden=8)
VAMP = dict(name="vamp.VampPrior", num_pseudo_inputs=3)


def test_the_size_is_that_of_the_papers_layers():
    def gated(inputs, units=300):
        return 2 * (inputs + 1) * units

    moments = 2 * 301 * 40
    encoder = gated(784) + gated(300) + moments
    lower = gated(784) + gated(40) + gated(600) + moments + gated(40) + gated(300) + moments
    decoder = 2 * gated(40) + gated(600) + 301 * 784
    recipe = dict(name="two_level_vae.TwoLevelVAE", image_size=28)
    recipe["prior"] = dict(name="vamp.VampPrior")
    _, params, _ = parameters.abstract(lambda: models.create(recipe, rngs=nnx.Rngs(0)))
    sizes = {name: array.size for name, array in params.items()}
    assert sizes["prior.pseudo_inputs"] == 500 * 784
    assert sum(sizes.values()) == encoder + lower + decoder + 500 * 784


def test_each_level_has_its_kl_and_the_top_its_prior():
    model = models.create(SMALL | dict(prior=VAMP), rngs=nnx.Rngs(0))
    image = jax.random.uniform(jax.random.key(1), (5, 4, 4, 1), minval=-1)

    @nnx.jit
    def values(model, key):
        top, low = model.encode(image, key=key)
        given = model.decode([top.z, low.z]).logits
        drawn = [model.decode([top.z], key=key, temperature=t).logits for t in (0.0, 1.0)]
        prior = model.lower_prior(top.z)
        return (
            top,
            low,
            model.prior.log_prob(top.z),
            prior,
            given,
            model.decode([top.z]).logits,
            drawn,
        )

    top, low, log_p, prior, given, still, (cold, warm) = values(model, jax.random.key(0))
    log_q = gaussian_log_prob(top.z, top.mean, top.logvar)
    np.testing.assert_allclose(top.kl, log_q - log_p, atol=1e-4)
    np.testing.assert_allclose(log_ratio(top), (log_p - log_q).sum(axis=1), atol=1e-4)
    np.testing.assert_allclose(low.kl, gaussian_kl(low.mean, low.logvar, *prior), atol=1e-5)
    assert given.shape == (5, 4, 4, 1) and np.isfinite(given).all()
    np.testing.assert_allclose(cold, still, atol=1e-5)
    assert not np.allclose(warm, still, atol=1e-3)
