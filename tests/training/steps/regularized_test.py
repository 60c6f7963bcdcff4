"""Regularizers of latents in the training step: the loss without a change, and their arrays."""

from typing import Any

import jax
import numpy as np
import pytest
import tiny_gan
from ml_collections import ConfigDict

from pipeline import build
from pipeline.core.errors import ConfigError
from pipeline.training.state import mesh as meshes
from pipeline.training.state import sharding
from pipeline.training.state import train_state as states


def recipe(objective=None, **regularizers):
    """Return a codec of two small networks, with these regularizers and further terms."""
    config = tiny_gan.recipe()
    config.discriminator = ConfigDict()
    config.objective = ConfigDict(dict(l1={}) | (objective or {}))
    config.model = ConfigDict(
        dict(
            name="autoencoder.Autoencoder",
            image_size=8,
            latent_channels=3,
            encoder=dict(name="residual_stack.Encoder", width=8, hidden=4, depth=1),
            bottleneck=dict(name="identity.Identity"),
            decoder=dict(name="residual_stack.Decoder", width=8, hidden=4, depth=1),
        )
    )
    config.regularizers = ConfigDict(regularizers)
    return build.complete(config)


def layers_of(config):
    """Return the names of the parameters of the encoder."""
    modeldef, _ = build.abstract_state(config, meshes.create(devices=jax.devices()[:1]))
    return [name for name in modeldef.param_names if name.startswith("encoder")]


def run(config, number: int = 1):
    """Return the state after step `number` as the first, and its metrics."""
    mesh = meshes.create(devices=jax.devices()[:1])
    create, extras = build.model_factory(config), build.extras(config)
    optimizer = build.update(config).optimizer
    modeldef, shapes = states.abstract(create, optimizer, mesh, None, extras)
    state = states.initialize(create, optimizer, shapes, 0, extras)
    step = build.step(config, modeldef, mesh)
    batch = sharding.place(tiny_gan.batch_of(0), sharding.batch_sharding(mesh))
    return state, *jax.jit(step.program(step.variant(number)))(state, batch, {})


@pytest.fixture(scope="module")
def base():
    return run(recipe())


def test_equivariance_to_the_identity_is_the_base_loss(base):
    _, after, metrics = run(recipe(equivariance=dict(scales=(1.0,), rotate=False, probability=1.0)))
    assert metrics["loss"] == base[2]["loss"]
    for name, array in base[1].params.items():
        np.testing.assert_array_equal(after.params[name], array)


def test_a_smaller_target_gives_the_mean_error_of_its_own_pixels(base):
    config = recipe(equivariance=dict(scales=(0.5,), probability=1.0))
    _, _, metrics = run(config)
    # The loss is a sum over a quarter of the pixels, divided by the number of all.
    assert metrics["loss"] == pytest.approx(float(metrics["l1"]) / 4, rel=1e-5)
    assert metrics["l1"] != base[2]["l1"]


def test_the_learned_vector_of_masks_is_trained_and_is_no_part_of_the_codec():
    mask = dict(ratios=(0.5,), probabilities=(1.0,))
    before, after, _ = run(recipe(masking=mask))
    name = "objective.regularizers.masking.token"
    assert before.params[name].shape == (3,)
    assert (before.params[name] != after.params[name]).all()
    modeldef, _ = build.abstract_state(recipe(masking=mask), meshes.create())
    assert name not in modeldef.param_names


def test_steps_that_differ_in_shape_are_programs_of_their_own():
    config = recipe(equivariance=dict(scales=(0.5,)))
    mesh = meshes.create(devices=jax.devices()[:1])
    step: Any = build.step(config, build.abstract_state(config, mesh)[0], mesh)
    assert {step.variant(n) for n in range(1, 30)} == {"generator_only/1", "generator_only/0.5x"}
    assert step.program("generator_only/0.5x").regularizers.chosen == ("0.5x",)


def test_the_gradient_of_a_balanced_term_has_a_share_of_the_likelihoods_norm():
    """Steps of descent (Adam with a large eps) differ by the gradient of the term alone."""
    kernel = next(name for name in layers_of(recipe()) if name.endswith("kernel"))
    term = dict(weight=0.1, threshold=2.0, window=(1, 2, 2), kernel=kernel)
    configs = (
        recipe(),
        recipe(dict(local_correlation=term)),
        recipe(dict(local_correlation=term | dict(adaptive=False, weight=1.0))),
    )
    params = []
    for config in configs:
        config["optimizer"] = dict(name="adamw", b1=0.0, b2=0.0, eps=1e6, learning_rate=1e6)
        before, after, metrics = run(config)
        params.append(np.asarray(after.params[kernel]))
        found = metrics.get("local_correlation_balanced_weight", None) or 0
        params.append(found)
    plain, _, both, weight, fixed, _ = params
    of_nll, of_both = before.params[kernel] - plain, plain - both
    assert np.linalg.norm(of_both) / np.linalg.norm(of_nll) == pytest.approx(0.1, rel=1e-2)
    np.testing.assert_allclose(of_both, weight * (plain - fixed), rtol=0.05, atol=1e-6)


def test_what_cannot_be_balanced_is_named():
    mesh = meshes.create(devices=jax.devices()[:1])
    config = recipe(dict(local_correlation=dict(kernel="encoder.convv.kernel")))
    with pytest.raises(ConfigError, match="is no parameter of the model: did you mean"):
        build.step(config, build.abstract_state(config, mesh)[0], mesh)
    config["grad_accum_steps"] = 2
    with pytest.raises(ConfigError, match="set its adaptive=False, or grad_accum_steps=1"):
        build.step(config, build.abstract_state(config, mesh)[0], mesh)


@pytest.mark.parametrize(
    "regularizers, message",
    [
        (dict(noisy={}), "noisy is not a regularizer: did you mean 'noise'"),
        (dict(noise=dict(high=1.0)), "high is not a setting of noise: did you mean 'highest'"),
        (dict(noise=3), "must be a dict of its arguments"),
        (dict(channel_dropping={}), "fewest=16 must be from 1 to the 3 channels"),
    ],
)
def test_mistakes_are_named(regularizers, message):
    with pytest.raises(ConfigError, match=message):
        recipe(**regularizers)


def test_a_changed_target_and_arrays_of_the_networks_exclude_one_another():
    with pytest.raises(ConfigError, match="wavelet compares arrays of both networks"):
        recipe(dict(wavelet={}), equivariance={})


def test_models_and_steps_without_a_place_for_them_are_named():
    config = tiny_gan.recipe()
    config.regularizers = ConfigDict(dict(noise={}))
    with pytest.raises(ConfigError, match=r"tiny_codec\.TinyCodec has no place for regularizers"):
        build.complete(config)
