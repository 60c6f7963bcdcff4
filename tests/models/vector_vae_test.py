"""A VAE of vectors takes tails of any size, and draws what its likelihood says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline import models
from pipeline.core import parameters
from pipeline.core.errors import ConfigError

RECIPE = dict(name="vector_vae.VectorVAE", num_features=3, latent_dim=2, hidden=(8,))


@pytest.mark.parametrize("likelihood", ["gaussian", dict(name="phase_type", num_phases=4)])
def test_draws_and_gradients_are_finite_for_numbers_of_any_size(likelihood):
    modeldef, params, _ = parameters.abstract(
        lambda: models.create(RECIPE | dict(likelihood=likelihood), rngs=nnx.Rngs(0))
    )
    x = jnp.array([[0.0, 1.0, 1e3], [1e-8, 50.0, 0.3]])

    def bound(params):
        outputs = modeldef.merge(params, {})({"vector": x}, key=jax.random.key(1), train=True)
        return (outputs.recon.log_prob(x) - outputs.latents[0].kl.sum(axis=-1)).sum()

    @jax.jit
    def run(key):
        keys = jax.random.split(key, len(params))
        weights = {
            name: 0.3 * jax.random.normal(each, array.shape)
            for each, (name, array) in zip(keys, params.items())
        }
        value, gradients = jax.value_and_grad(bound)(weights)
        found = modeldef.merge(weights, {}).decode((), num=2_000, key=key)
        return value, gradients, found.sample(jax.random.fold_in(key, 1)), found.mean()

    value, gradients, draws, mean = run(jax.random.key(2))
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    assert draws.shape == mean.shape == (2_000, 3)
    error = (draws - mean).std(axis=0) / np.sqrt(2_000)
    assert (np.abs((draws - mean).mean(axis=0)) < 5 * error).all()


def test_a_likelihood_of_images_is_refused():
    with pytest.raises(ConfigError, match=r"'bernoulli' is not a likelihood of vectors"):
        models.create(RECIPE | dict(likelihood="bernoulli"), rngs=nnx.Rngs(0))
