"""VampPrior's closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from pipeline import priors
from pipeline.distributions.continuous import gaussian_log_prob
from pipeline.priors.vamp import VampPrior

DIM = 4


class Encoder(nnx.Module):
    """The mean of a latent is a multiple of a pixel, and its log-variance another."""

    def __init__(self):
        self.scale = nnx.Param(jnp.asarray([60.0, -0.5]))

    def __call__(self, x):
        flat = x.reshape(len(x), -1)
        return flat * self.scale[...][0], flat * self.scale[...][1]


def vamp(num: int, **settings) -> VampPrior:
    about = dict(shape=(DIM,), image_shape=(2, 2, 1), input_range=(0.0, 1.0))
    settings = dict(start=0.5, start_deviation=0.2) | settings
    return VampPrior(
        encoder=Encoder(), num_pseudo_inputs=num, key=jax.random.key(0), **about, **settings
    )


@nnx.jit
def posterior(prior):
    return prior.encoder(jnp.clip(prior.pseudo_inputs[...], 0, 1))


@nnx.jit
def log_prob(prior, z):
    return prior.log_prob(z)


def test_with_one_pseudo_input_it_is_that_ones_posterior():
    prior = vamp(1)
    z = 30 + 5 * jax.random.normal(jax.random.key(1), (6, DIM))
    np.testing.assert_allclose(
        log_prob(prior, z), gaussian_log_prob(z, *posterior(prior)), rtol=1e-4
    )


def test_the_kl_of_a_component_far_from_the_others_is_log_k():
    """log 500 = 6.214608, whatever z is drawn."""
    prior = vamp(500)
    mean, logvar = posterior(prior)
    ones = slice(3, 4)
    z = mean[ones] + jnp.exp(logvar[ones] / 2) * jax.random.normal(jax.random.key(1), (8, DIM))
    found = nnx.jit(priors.latent)(
        prior, z, jnp.tile(mean[ones], (8, 1)), jnp.tile(logvar[ones], (8, 1))
    )
    np.testing.assert_allclose(found.kl.sum(axis=-1), 6.214608, atol=2e-4)


def test_the_order_of_pseudo_inputs_has_no_effect():
    prior = vamp(5)
    z = 30 + 5 * jax.random.normal(jax.random.key(1), (6, DIM))
    before = log_prob(prior, z)
    prior.pseudo_inputs[...] = prior.pseudo_inputs[...][::-1]
    np.testing.assert_allclose(log_prob(prior, z), before, rtol=1e-4, atol=1e-4)


def test_pseudo_inputs_start_at_the_papers_values_and_stop_at_black():
    prior = vamp(300, start=0.05, start_deviation=0.01)
    values = prior.pseudo_inputs[...]
    np.testing.assert_allclose([values.mean(), values.std()], [0.05, 0.01], rtol=0.1)
    prior.pseudo_inputs[...] = values.at[0].set(-0.1)
    gradient = nnx.jit(nnx.grad(lambda prior: prior.log_prob(jnp.zeros((2, DIM))).sum()))(prior)
    pseudo_inputs, scale = gradient["pseudo_inputs"][...], gradient["encoder"]["scale"][...]
    assert (pseudo_inputs[0] == 0).all() and (pseudo_inputs[1:] != 0).any()
    assert (scale != 0).all()


def test_a_draw_takes_each_component_equally_often():
    prior = vamp(4)
    draws = nnx.jit(lambda prior: prior.sample(jax.random.key(5), 4_000, 0.0))(prior)
    _, counts = np.unique(np.asarray(draws)[:, 0].round(3), return_counts=True)
    assert len(counts) == 4
    np.testing.assert_allclose(counts, 1_000, atol=150)
