"""Every prior of pipeline/priors: a normalized density, and draws that follow it."""

import functools
import importlib
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from flow_checks import perturbed

from pipeline import priors
from pipeline.core.construct import modules_of
from pipeline.core.errors import ConfigError
from pipeline.distributions.continuous import gaussian_log_prob, gaussian_sample

# hierarchy is the contract of models with several layers.
MODULES = sorted(set(modules_of("pipeline.priors")) - {"hierarchy"})
SHAPE, IMAGE, DRAWS = (2,), (2, 2, 1), 20_000
# Small settings of every prior, and how far its parameters are moved from where they start.
MLP = dict(name="mlp.SkipMLP", depth=1, width=16)
RECIPES = {
    "ar1.AR1": (dict(alpha=0.6), 0.0),
    "diffusion.DiffusionPrior": (dict(denoiser=MLP, mixing=-1.0, steps=200), 0.2),
    "flow.FlowPrior, RealNVP": (dict(flow=dict(name="coupling.RealNVP", hidden=8)), 0.2),
    "flow.FlowPrior, MAF": (dict(flow=dict(name="autoregressive.MAF", hidden=8)), 0.2),
    "flow.FlowPrior, Glow": (dict(flow=dict(name="glow.Glow", depth=1, hidden=8)), 0.2),
    "mixture.GaussianMixture": (dict(num_components=3), 0.3),
    "standard_normal.StandardNormal": ({}, 0.0),
    "vamp.VampPrior": (dict(num_pseudo_inputs=3, start=0.5, start_deviation=0.2), 0.2),
}


class Encoder(nnx.Module):
    """A linear posterior of two latents, of images of four pixels."""

    def __init__(self, key):
        self.kernel = nnx.Param(jax.random.normal(key, (4, 4)))

    def __call__(self, x):
        return jnp.split(x.reshape(len(x), -1) @ self.kernel[...], 2, axis=-1)


@functools.cache
def create(name: str):
    """Return a prior whose parameters are away from their start."""
    settings, by = RECIPES[name]
    recipe = {"name": name.partition(",")[0]} | settings
    encoder = Encoder(jax.random.key(1))
    given = dict(encoder=encoder, image_shape=IMAGE, input_range=(-1.0, 1.0))
    return perturbed(priors.create(recipe, shape=SHAPE, key=jax.random.key(0), **given), by)


@pytest.fixture(params=RECIPES)
def prior(request):
    return create(request.param)


def test_every_file_has_a_prior_with_settings_here():
    found = set()
    for module in MODULES:
        for name, kind in vars(importlib.import_module(f"pipeline.priors.{module}")).items():
            if inspect.isclass(kind) and kind.__module__.endswith(f"priors.{module}"):
                assert issubclass(kind, nnx.Module) and kind.log_prob and kind.sample
                found.add(f"{module}.{name}")
    assert found == {name.partition(",")[0] for name in RECIPES}
    assert {name.partition(".")[0] for name in found} == set(MODULES)


@functools.partial(nnx.jit, static_argnums=(1, 2))
def on_a_grid(prior, end, points):
    """Return the integrals of p(z), of z p(z) and of p(z) log p(z), by a sum over a grid."""
    axis = jnp.linspace(-end, end, points)
    z = jnp.stack(jnp.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    log_p = prior.log_prob(z).sum(axis=-1)
    p = jnp.exp(log_p) * jnp.square(axis[1] - axis[0])
    return p.sum(), p @ z, p @ jnp.where(p > 0, log_p, 0.0)


def is_slow(prior):
    return hasattr(prior, "cross_entropy")


@functools.partial(nnx.jit, static_argnums=1)
def of_draws(prior, draws):
    z = prior.sample(jax.random.key(2), draws)
    return z, prior.log_prob(z).sum(axis=-1), prior.sample(None, 3)


def test_the_density_integrates_to_one_and_draws_follow_it(prior):
    # A density that solves a differential equation takes a millisecond, and is smooth.
    grid, draws = ((12, 49), 500) if is_slow(prior) else ((12, 801), DRAWS)
    total, mean, negative_entropy = on_a_grid(prior, *grid)
    np.testing.assert_allclose(total, 1, atol=2e-3)
    z, log_p, still = of_draws(prior, draws)
    assert z.shape == (draws, *SHAPE) and z.dtype == log_p.dtype == jnp.float32
    assert abs(log_p.mean() - negative_entropy) < 5 * log_p.std() / draws**0.5 + 2e-3
    assert (np.abs(z.mean(axis=0) - mean) < 5 * z.std(axis=0) / draws**0.5 + 2e-3).all()
    assert still.shape == (3, *SHAPE) and (still == still[0]).all()
    if not hasattr(prior, "flow") and not is_slow(prior):
        np.testing.assert_allclose(still[0], mean, atol=5e-3)


def test_the_temperature_multiplies_deviations(prior):
    @nnx.jit
    def deviations(prior):
        key = jax.random.key(2)
        return [jnp.std(prior.sample(key, 2_000, t), axis=0).mean() for t in (0.0, 0.5, 1.0)]

    none, half, whole = deviations(prior)
    assert none < half < whole
    if not hasattr(prior, "_components"):  # a mixture still draws the component
        np.testing.assert_allclose(none, 0, atol=1e-6)


def test_the_density_is_not_reduced_and_trains_every_parameter(prior):
    z = jax.random.normal(jax.random.key(3), (7, *SHAPE))
    assert prior.log_prob(z).shape == z.shape

    def density(prior):
        if is_slow(prior):  # and trained by its bound
            return -prior.cross_entropy(z, jax.random.key(4))
        return prior.log_prob(z)

    @nnx.jit
    def gradients(prior):
        return nnx.grad(lambda prior: jnp.square(density(prior).sum(axis=-1)).mean())(prior)

    for leaf in jax.tree.leaves(gradients(prior)):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 0


def test_a_closed_form_is_the_mean_over_samples(prior):
    if not hasattr(prior, "kl"):
        return

    @nnx.jit
    def values(prior):
        mean, logvar = jnp.asarray([[0.7, -0.4]]), jnp.asarray([[-1.0, 0.5]])
        rows = jnp.broadcast_to(mean, (DRAWS, 2)), jnp.broadcast_to(logvar, (DRAWS, 2))
        z = gaussian_sample(jax.random.key(4), *rows)
        return prior.kl(mean, logvar)[0], gaussian_log_prob(z, *rows) - prior.log_prob(z)

    exact, samples = values(prior)
    error = 5 * samples.std(axis=0) / DRAWS**0.5
    assert (np.abs(samples.mean(axis=0) - exact) < error).all() and (exact >= 0).all()


def test_mistakes_in_a_recipe_are_config_errors():
    for recipe, words in (
        ({"name": "vamp.Vamp"}, r"model\.prior\.name='vamp\.Vamp'"),
        ({"name": "mixture.GaussianMixture", "components": 3}, r"model\.prior\.components is not"),
        ({"name": "vamp.VampPrior"}, r"is made of posteriors of images alone"),
        ({"name": "ar1.AR1", "alpha": 1.0}, r"alpha=1\.0 must be between -1 and 1"),
        ({"num_components": 3}, r"model\.prior\.name is missing"),
    ):
        with pytest.raises(ConfigError, match=words):
            priors.create(recipe, shape=SHAPE, key=jax.random.key(0))
