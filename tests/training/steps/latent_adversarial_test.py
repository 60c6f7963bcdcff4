"""FactorVAE's step: its gradient, exact resume, microbatches, and one device against eight."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_step
from flax import nnx
from tiny_run import batch_of, recipe

from pipeline import build
from pipeline.build.latent_adversarial import latent_adversarial_config
from pipeline.core.errors import ConfigError
from pipeline.core.parameters import abstract
from pipeline.losses import latent_adversarial as losses
from pipeline.training.state import mesh as meshes
from pipeline.training.state import train_state as states
from pipeline.training.steps.microbatches import key_of

RECIPE = "factor_vae/dsprites.py"
WEIGHT = 3.0


def factor_recipe(**changes):
    config = recipe()
    config.objective = dict(distortion={}, rate={}, latent_adversarial=dict(weight=WEIGHT))
    config.discriminator = dict(name="mlp.MLP", hidden=(16,))
    config.discriminator.optimizer = dict(learning_rate=1e-3, b1=0.5, b2=0.9)
    config.update(changes)
    return build.complete(config)


def test_a_restored_run_goes_on_bit_for_bit(tmp_path):
    whole, metrics = tiny_step.run(RECIPE, 1, 3)
    assert int(whole.skipped) == 0 and int(whole.discriminator.step) == 3
    assert whole.discriminator.params["linears.0.kernel"].shape == (10, 16)
    assert float(metrics["discriminator"]) == pytest.approx(np.log(2), abs=0.3)
    jax.tree.map(np.testing.assert_array_equal, tiny_step.run_with_a_break(RECIPE, tmp_path), whole)


def test_one_and_eight_devices_are_the_same():
    (one, metrics), (eight, more) = tiny_step.run(RECIPE, 1, 2), tiny_step.run(RECIPE, 8, 2)
    for name in ("loss", "log_ratio", "reference_log_ratio", "discriminator", "gradient_norm"):
        np.testing.assert_allclose(metrics[name], more[name], rtol=1e-3, atol=1e-5, err_msg=name)
    for name, array in one.discriminator.params.items():
        np.testing.assert_allclose(
            array, eight.discriminator.params[name], rtol=1e-3, atol=1e-5, err_msg=name
        )


def test_gradients_are_those_of_the_two_losses_with_the_other_side_detached():
    settings = factor_recipe()
    schedule = dict(name="linear", start=0.0, end=2 * WEIGHT, steps=10)  # WEIGHT at step 5
    settings["objective"]["latent_adversarial"]["weight"] = schedule
    mesh = meshes.create(devices=jax.devices()[:1])
    create, update, extras = (
        build.model_factory(settings),
        build.update(settings),
        build.extras(settings),
    )
    modeldef, shapes = states.abstract(create, update.optimizer, mesh, None, extras)
    state = states.initialize(create, update.optimizer, shapes, 0, extras)
    state = dataclasses.replace(state, step=jnp.full_like(state.step, 5))
    step = build.step(settings, modeldef, mesh)
    judge = abstract(lambda: extras.discriminator(nnx.Rngs(0)))[0]
    batch, key = jax.tree.map(jnp.asarray, batch_of(0)), key_of(0, jnp.int32(0))
    dims = batch["image"][0].size

    def outputs_of(params):
        return modeldef.merge(params, {})({"image": batch["image"]}, key=key, train=True)

    def of_model(params):
        outputs = outputs_of(params)
        nats = -outputs.recon.log_prob(batch["image"]) + outputs.latents[0].kl.sum(1)
        ratio = judge.merge(state.discriminator.params, {})(outputs.latents[0].z)
        return (nats + WEIGHT * ratio).mean() / dims

    def of_judge(params, z):
        other = losses.permuted(z, jax.random.fold_in(key, 1 << 20))
        real, fake = (judge.merge(params, {})(each) for each in (z, other))
        return 0.5 * (jax.nn.softplus(-real) + jax.nn.softplus(fake)).mean()

    @jax.jit
    def both(state):
        found, metrics, _ = step._both_gradients(state, {}, batch, {}, key)
        z = outputs_of(state.params).latents[0].z
        loss, gradients = jax.value_and_grad(of_model)(state.params)
        expected = gradients, jax.grad(of_judge)(state.discriminator.params, z)
        return found, expected, metrics["loss"] * np.log(2), loss

    halves = dataclasses.replace(step, grad_accum_steps=2)
    after, _ = jax.eval_shape(halves, state, batch)
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
    found, expected, metric, loss = both(state)
    np.testing.assert_allclose(metric, loss, rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, expected
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(latent_adversarial=dict(weight=-1.0)), r"weight=-1\.0 must be 0 or more"),
        (dict(latent_adversarial=dict(weight=1.0, reference="prio")), "reference='prio'"),
        (dict(latent_adversarial=dict(weight=1.0, loss="hinge")), "loss='hinge'"),
        (dict(latent_adversarial=dict(wait=1.0)), "wait"),
        (
            dict(latent_adversarial=dict(weight=1.0), importance=dict(num_samples=2)),
            "exclude one another",
        ),
    ],
)
def test_settings_that_cannot_work_are_one_line(changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        factor_recipe(objective=changes)
    assert "\n" not in str(caught.value)


def test_it_needs_the_elbo_and_a_discriminator_of_latents():
    settings = factor_recipe()
    for change, message in (
        (dict(objective=dict(latent_adversarial=dict(weight=dict(name="linar")))), "'linar'"),
        (dict(step="adversarial"), r"needs config\.step='elbo'"),
        (dict(discriminator={}), r"name='mlp\.MLP'"),
        (dict(discriminator=dict(name="patchgan.PatchGAN2D")), r"name='mlp\.MLP'"),
    ):
        with pytest.raises(ConfigError, match=message):
            latent_adversarial_config(settings | change)
