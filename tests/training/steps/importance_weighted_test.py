"""The bound and its two gradients, on a linear Gaussian model whose values are known."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_run import tiny

from pipeline import build
from pipeline.core import parameters
from pipeline.core.errors import ConfigError
from pipeline.core.types import Latent
from pipeline.distributions.continuous import gaussian_kl, gaussian_log_prob, gaussian_sample
from pipeline.losses import objective
from pipeline.training.state import mesh as meshes
from pipeline.training.state import sharding
from pipeline.training.state.train_state import TrainState
from pipeline.training.steps.importance_weighted import (
    GRADIENTS,
    ImportanceConfig,
    ImportanceWeightedStep,
)
from pipeline.training.steps.microbatches import accumulate, key_of

KEY = jax.random.key(1)
ROWS, X, DEVIATION = 20_000, 0.7, 0.9
BATCH = {"image": jnp.zeros((ROWS, 1, 1, 1), jnp.uint8), "mask": jnp.ones(ROWS)}


class Recon:
    """p(x | z) = N(w z, 1/2) at x = 0.7."""

    def __init__(self, location):
        self.location = location

    def log_prob(self, image):
        return gaussian_log_prob(jnp.full_like(self.location, X), self.location, math.log(0.5))


class LinearGaussian(nnx.Module):
    """w = 1.3 and q(z | x) = N(0.1, 0.9^2); rows may have their own means, for their gradients."""

    def __init__(self, rows=ROWS):
        self.w = nnx.Param(jnp.float32(1.3))
        self.mean = nnx.Param(jnp.full((rows, 1), 0.1))

    def encode(self, image, *, key):
        mean = jnp.broadcast_to(self.mean[...], (len(image), 1))
        logvar = jnp.full_like(mean, 2 * math.log(DEVIATION))
        z = gaussian_sample(key, mean, logvar)
        return (Latent(z, gaussian_kl(mean, logvar), mean, logvar),)

    def decode(self, latents):
        return Recon(self.w[...] * latents[0][..., 0])


def state_of(params):
    """Return a state of which the gradients need the parameters alone."""
    names = {field.name for field in dataclasses.fields(TrainState)} - {"params"}
    return TrainState(params=params, **dict.fromkeys(names))


def step_of(num_samples, gradient="doubly_reparameterized", rows=ROWS, model=LinearGaussian):
    modeldef, params, _ = parameters.split(model(rows))
    loss, _ = objective.create({"distortion": {}, "rate": {}})
    update = build.update(tiny())  # gradients are not applied here
    importance = ImportanceConfig(num_samples, gradient)
    return ImportanceWeightedStep(modeldef, loss, update, 0, importance=importance), params


def gradients_of(num_samples, gradient="reparameterized"):
    """Return the gradient of the bound by the rows' means and by w, and the metrics."""
    step, params = step_of(num_samples, gradient)

    @jax.jit
    def run(params, key):
        return step._gradients(state_of(params), {}, BATCH, {}, key)

    gradients, metrics, _ = run(params, jax.random.key(1))
    return -ROWS * gradients["mean"][:, 0], -gradients["w"], metrics


@pytest.mark.parametrize(("num_samples", "bound"), [(1, -2.2816), (50, -1.428)])
def test_the_bound_approaches_the_likelihood(num_samples, bound):
    """The log-likelihood itself is -1.42276."""
    _, _, metrics = gradients_of(num_samples)
    np.testing.assert_allclose(-metrics["loss"] * np.log(2), bound, atol=0.01)
    assert 1 - 1e-5 <= metrics["effective_samples"] <= num_samples
    kl = gaussian_kl(jnp.float32(0.1), jnp.float32(2 * math.log(DEVIATION)))
    np.testing.assert_allclose(metrics["rate"] * np.log(2), kl, rtol=1e-4)
    np.testing.assert_allclose(metrics["elbo"] * np.log(2), 2.2816, atol=0.01)


def test_dreg_has_the_mean_of_the_bounds_gradient_and_less_noise():
    mean, of_iwae, of_dreg = 0.055, 0.785, 0.112  # of 8 samples
    iwae, by_w, _ = gradients_of(8)
    dreg, same, _ = gradients_of(8, "doubly_reparameterized")
    np.testing.assert_allclose(iwae.mean(), mean, atol=4 * of_iwae / np.sqrt(ROWS))
    np.testing.assert_allclose(dreg.mean(), mean, atol=4 * of_dreg / np.sqrt(ROWS) + 2e-3)
    np.testing.assert_allclose([iwae.std(), dreg.std()], [of_iwae, of_dreg], rtol=0.05)
    np.testing.assert_allclose(by_w, same, rtol=1e-5)


class Shifted(nnx.Module):
    """A prior N(shift, 1) that is learned."""

    def __init__(self):
        self.shift = nnx.Param(jnp.float32(0.3))

    def log_prob(self, z):
        return gaussian_log_prob(z, self.shift[...])


class WithPrior(LinearGaussian):
    """The linear Gaussian model with a learned prior."""

    def __init__(self, rows=ROWS):
        super().__init__(rows)
        self.prior = Shifted()

    def encode(self, image, *, key):
        (latent,) = super().encode(image, key=key)
        return (dataclasses.replace(latent, log_p=self.prior.log_prob(latent.z)),)


def test_dreg_weighs_a_learned_prior_like_the_decoder():
    step, params = step_of(8, model=WithPrior)
    both = [
        jax.jit(functools.partial(each._gradients, state_of(params), {}, BATCH, {}))(KEY)[0]
        for each in (step, dataclasses.replace(step, importance=ImportanceConfig(8, GRADIENTS[0])))
    ]
    dreg, iwae = both
    for name in ("w", "prior.shift"):
        np.testing.assert_allclose(dreg[name], iwae[name], rtol=1e-4)
    of_dreg, of_iwae = (-ROWS * each["mean"][:, 0] for each in both)
    error = 4 * np.hypot(of_iwae.std(), of_dreg.std()) / np.sqrt(ROWS)
    assert abs(of_dreg.mean() - of_iwae.mean()) < error and of_dreg.std() < of_iwae.std() / 3

    def loss(shift):  # by a difference: DReG's gradient is the bound's
        metrics = step._gradients(state_of(params | {"prior.shift": shift}), {}, BATCH, {}, KEY)[1]
        return metrics["loss"] * math.log(2)

    slope = jax.jit(lambda: (loss(0.35) - loss(0.25)) / 0.1)()
    np.testing.assert_allclose(dreg["prior.shift"], slope, rtol=0.02)


def test_microbatches_and_devices_are_the_batch_with_its_noise():
    step, params = step_of(8, rows=1)

    @functools.partial(jax.jit, static_argnums=0)
    def run(steps, batch):
        gradients_of = functools.partial(step._gradients, state_of(params))
        return accumulate(
            lambda model_state, batch, key: gradients_of(model_state, batch, {}, key),
            {},
            batch,
            key_of(0, jnp.int32(1)),
            like=params,
            steps=steps,
        )

    batch = jax.tree.map(lambda x: x[:8], BATCH)
    mesh = meshes.create(devices=jax.devices()[:4])
    spread = jax.device_put(batch, sharding.batch_sharding(mesh))
    whole = run(1, batch)
    for same in (run(2, batch), run(1, spread)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), whole, same)


def test_the_recipe_has_the_two_terms_of_the_elbo_alone():
    bound = {"num_samples": 2}
    elbo = {"distortion": {"weight": 1.0}, "rate": {"weight": 1.0}}
    modeldef, _, _ = parameters.split(LinearGaussian(rows=1))
    found = build.step(tiny(objective={**elbo, "importance": bound}), modeldef)
    assert isinstance(found, ImportanceWeightedStep) and found.importance.num_samples == 2
    for other in ({"rate": {"weight": 4.0}}, {"l1": {"weight": 1.0}}, {"logvar": 1.0}):
        with pytest.raises(ConfigError, match="distortion and rate, both with the weight 1"):
            build.step(tiny(objective={**elbo, **other, "importance": bound}), modeldef)
    for wrong, words in (
        ({"num_samples": -1}, "must be 0 or more"),
        ({"num_samples": 2, "gradient": "dreg"}, "importance.gradient='dreg': "),
    ):
        with pytest.raises(ConfigError, match=words):
            build.step(tiny(objective={**elbo, "importance": wrong}), modeldef)
    with pytest.raises(ConfigError, match=r"needs config\.step='elbo'"):
        build.step(tiny(step="adversarial", objective={**elbo, "importance": bound}), modeldef)
