"""VAE-GAN: the discriminator's features measure reconstructions, and the decoder alone fools it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_gan import batch_of, changed, recipe, tiny

from pipeline import build
from pipeline.core import pixels
from pipeline.core.errors import ConfigError
from pipeline.training.state import mesh as meshes
from pipeline.training.state import sharding
from pipeline.training.state import train_state as states

CHANGES = dict(
    step="vae_gan",
    objective=dict(
        discriminator_features=dict(weight=1.0),
        rate=dict(weight=1e-3),
        adversarial=dict(loss="non_saturating", weight=1.0, adaptive=False),
    ),
    optimizer=dict(name="adamw", learning_rate=1e-3, b1=0.5),
    model__noise=False,
)


@functools.cache
def first_step(weight: float):
    """Return the state before, the state after one step, its metrics, and the discriminator."""
    settings = tiny(**CHANGES)
    settings["objective"]["adversarial"]["weight"] = weight
    mesh = meshes.create(devices=jax.devices()[:1])
    extras, optimizer = build.extras(settings), build.update(settings).optimizer
    create = build.model_factory(settings)
    modeldef, shapes = states.abstract(create, optimizer, mesh, None, extras)
    state = states.initialize(create, optimizer, shapes, 0, extras)
    batch = sharding.place(batch_of(1), sharding.batch_sharding(mesh))
    step = build.step(settings, modeldef, mesh)
    program = sharding.lower_step(step.program("adversarial"), state, batch, {}).compile()
    after, metrics = program(jax.tree.map(jnp.copy, state), batch, {})
    return state, after, metrics, step


def gradients(weight: float) -> dict[str, np.ndarray]:
    """Return the codec's gradients: Adam's first moment after one step is half of them."""
    _, after, _, _ = first_step(weight)
    return {name: np.asarray(2 * moment) for name, moment in after.opt_state.mu.items()}


def test_the_generators_loss_trains_the_decoder_alone():
    weak, strong = gradients(1e-3), gradients(1.0)
    for name in weak:
        same = np.allclose(weak[name], strong[name], rtol=1e-4, atol=1e-9)
        assert same == name.startswith("encode"), name


def test_the_error_is_half_the_squared_distance_of_the_features():
    state, _, metrics, step = first_step(1.0)
    image = jnp.asarray(batch_of(1)["image"])

    @jax.jit
    def restated(params, discriminator):
        model = step.modeldef.merge(params)
        judge = step.discriminator.merge(discriminator.params, discriminator.model_state)
        recon = model.decode([latent.z for latent in model.encode(image)]).mean()
        x = pixels.to_float(image)
        gap = judge.features(recon) - judge.features(x)
        logits = judge(recon), judge(x)
        return 0.5 * jnp.square(gap).sum() / x.size, logits, judge.convs[-1](judge.features(x))

    error, (fake, real), again = restated(state.params, state.discriminator)
    np.testing.assert_allclose(metrics["discriminator_features"], error, rtol=1e-4)
    np.testing.assert_allclose(metrics["real_logits"], real.mean(), rtol=1e-4)
    np.testing.assert_allclose(again[..., 0], real, rtol=1e-4, atol=1e-5)
    # Half of the fakes are reconstructions, the others come from the prior.
    assert abs(float(metrics["fake_logits"]) - fake.mean()) > 1e-6


def test_without_features_the_term_says_what_it_needs():
    config = changed(recipe(), **CHANGES, discriminator={})
    config.objective.adversarial.weight = 0.0
    settings = build.complete(config)
    create = build.model_factory(settings)
    model = create(nnx.Rngs(0))
    loss = build.step(settings, states.parameters.split(model)[0]).objective
    batch = {name: jnp.asarray(array) for name, array in batch_of(1).items()}
    outputs = model(batch, key=None, train=True)
    with pytest.raises(ConfigError, match=r"discriminator_features needs config\.step="):
        loss(outputs, batch, 0)
