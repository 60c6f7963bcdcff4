"""Frozen arrays: config.trainable's names, and what a step of each kind does to them."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny_gan
import tiny_run

from pipeline import build
from pipeline.core.errors import ConfigError
from pipeline.planning import compiling
from pipeline.training.checkpoints.store import Checkpoints
from pipeline.training.state import mesh as meshes
from pipeline.training.state import sharding
from pipeline.training.state import train_state as states
from pipeline.training.state.trainable import Trainable

DECODER = "decode_conv"


class Run:
    """The state and the programs of a tiny codec with a discriminator, on several devices."""

    def __init__(self, devices: int = 1, **changes):
        self.settings = tiny_gan.tiny(trainable=DECODER, **changes)
        self.mesh = meshes.create(fsdp=devices, devices=jax.devices()[:devices])
        self.extras, self.update = build.extras(self.settings), build.update(self.settings)
        create = build.model_factory(self.settings)
        same = (create, self.update.optimizer)
        self.modeldef, self.shapes = states.abstract(*same, self.mesh, None, self.extras)
        self.start = states.initialize(*same, self.shapes, 0, self.extras)
        self.kept = jax.tree.map(np.asarray, self.start)
        step = build.step(self.settings, self.modeldef, self.mesh)
        self.program = sharding.lower_step(
            step.program("adversarial"), self.shapes, self.batch(0), {}
        ).compile()

    def batch(self, number: int):
        return sharding.place(tiny_gan.batch_of(number), sharding.batch_sharding(self.mesh))

    def steps(self, state, numbers):
        for number in numbers:
            state, metrics = self.program(state, self.batch(number), {})
        return state, metrics

    def fresh(self):
        return jax.tree.map(lambda a, s: jax.device_put(a, s.sharding), self.kept, self.shapes)


@pytest.fixture(scope="module")
def one() -> Run:
    return Run()


@pytest.fixture(scope="module")
def after(one):
    return one.steps(one.fresh(), range(4))


def frozen(run: Run) -> set[str]:
    return {name for name in run.shapes.params if name.startswith("encode_conv")}


def test_frozen_arrays_have_no_gradient_no_moments_no_average_and_no_update(one, after):
    state, metrics = after
    assert frozen(one) == state.params.keys() - state.ema.keys() != set()
    moments = {jax.tree_util.keystr(path) for path, _ in _leaves(state.opt_state)}
    assert not any("encode_conv" in name for name in moments)
    assert any("decode_conv" in name for name in moments)
    for name, array in state.params.items():
        assert np.array_equal(array, one.kept.params[name]) == (name in frozen(one)), name
    assert np.isfinite(metrics["loss"]) and int(state.skipped) == 0
    assert state.averaged.keys() == state.params.keys()


def _leaves(tree):
    return jax.tree_util.tree_leaves_with_path(tree)


def test_the_frozen_part_is_not_differentiated(one):
    """The gradient of the encoder's kernel is a convolution of the images, which is not there."""
    whole = tiny_gan.tiny()
    step = build.step(whole, one.modeldef, one.mesh)
    shapes = states.abstract(
        build.model_factory(whole),
        build.update(whole).optimizer,
        one.mesh,
        None,
        build.extras(whole),
    )[1]
    full = sharding.lower_step(step.program("adversarial"), shapes, one.batch(0), {}).as_text()
    part = build.step(one.settings, one.modeldef, one.mesh)
    text = sharding.lower_step(part.program("adversarial"), one.shapes, one.batch(0), {}).as_text()
    assert text.count("stablehlo.convolution") < full.count("stablehlo.convolution")


def test_a_resumed_run_has_the_same_bits(one, after, tmp_path):
    half, _ = one.steps(one.fresh(), range(2))
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(2, half, {}, {})
    checkpoints.wait()
    found = checkpoints.restore_newest(one.shapes, lambda saved, step: None)
    assert found is not None
    state, _ = one.steps(found[1], range(2, 4))
    assert _same(state, after[0])
    names = {name: each for name, each in one.shapes.params.items() if "objective" not in name}
    weights = checkpoints.weights(2, names, {})["params"]
    for name in frozen(one):
        np.testing.assert_array_equal(weights[name], one.kept.params[name])
    np.testing.assert_array_equal(weights["decode_conv.kernel"], half.ema["decode_conv.kernel"])
    checkpoints.close()


def _same(a, b) -> bool:
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y, equal_nan=True) for x, y in leaves)


@pytest.mark.parametrize(
    "devices, changes",
    [
        pytest.param(8, {}, id="8 devices"),
        pytest.param(1, dict(grad_accum_steps=2), id="microbatches", marks=pytest.mark.slow),
    ],
)
def test_other_layouts_train_the_same(one, after, devices, changes):
    other = Run(devices, **changes)
    state, _ = other.steps(other.fresh(), range(4))
    for name, array in after[0].params.items():
        if name in frozen(one):
            np.testing.assert_array_equal(state.params[name], array)
        np.testing.assert_allclose(state.params[name], array, atol=2e-5, err_msg=name)


def test_every_kind_of_step_trains_a_part():
    settings = tiny_run.tiny(trainable=("decoder",))
    mesh = meshes.create(devices=jax.devices()[:1])
    modeldef, shapes = build.abstract_state(settings, mesh)
    step = build.step(settings, modeldef, mesh)
    batch = sharding.place(tiny_run.batch_of(0), sharding.batch_sharding(mesh))
    state, _ = jax.eval_shape(step, shapes, batch)
    assert state.ema.keys() == {name for name in shapes.params if "decoder" in name}


@pytest.mark.parametrize("trainable, frozen", [("^generator.out", True), ("", False)])
def test_a_frozen_batch_norm_works_as_in_evaluation(trainable, frozen):
    """The loss of an example then depends on no other example of its batch."""
    model = dict(name="ladder_vae.LadderVAE", image_size=8, latent_dims=(3, 2), widths=(8, 4))
    settings = tiny_run.tiny(trainable=trainable, model=model)
    mesh = meshes.create(devices=jax.devices()[:1])
    modeldef, shapes = build.abstract_state(settings, mesh)
    step = jax.jit(build.step(settings, modeldef, mesh))
    one, other = tiny_run.batch_of(0), tiny_run.batch_of(1)
    one["mask"] = other["mask"] = np.eye(8, dtype=np.float32)[0]
    other["image"][0] = one["image"][0]
    state = build.initial_state(settings, shapes)
    (after, first), (_, second) = step(state, one), step(state, other)
    assert np.isclose(first["loss"], second["loss"], rtol=1e-6) == frozen
    for name, array in state.model_state.items():
        assert np.array_equal(array, after.model_state[name]) == frozen, name


def test_patterns_that_find_nothing_name_the_nearest():
    names = ["encoder.conv.kernel", "decoder.conv.kernel", "decoder.up.0.kernel"]
    assert Trainable(("up",)).split(dict.fromkeys(names))[0].keys() == {"decoder.up.0.kernel"}
    with pytest.raises(
        ConfigError, match=r"cnv' is found in no array .*: did you mean 'decoder.conv'"
    ):
        Trainable(("up", r"decoder\.cnv")).check(names)
    assert Trainable(("decoder",)).trains("objective.logvar"), "it is not the model's"


@pytest.mark.parametrize(
    "value, match",
    [
        ("decoder", "does not say which of its arrays"),
        ("(", "no regular expression"),
        ((1,), "must be 'decoder'"),
        ("nothing", "found in no array"),
    ],
)
def test_other_values_are_refused_in_one_line(value, match):
    with pytest.raises(ConfigError, match=match):
        settings = tiny_run.tiny(trainable=value)
        build.update(settings)
        build.abstract_state(settings, meshes.create(devices=jax.devices()[:1]))


def test_a_frozen_last_layer_cannot_balance_a_discriminator(one):
    settings = {**one.settings, "trainable": "encode_conv"}
    with pytest.raises(ConfigError, match="adaptive"):
        build.step(settings, one.modeldef, one.mesh)
    assert dataclasses.is_dataclass(build.update(settings))


def test_the_plan_shows_the_bytes_of_state_that_freezing_saves(one):
    """Two moments and an average of float32 for each frozen parameter, on one device."""
    (stage,) = build.run_outline(one.settings).stages
    figures = compiling.frozen_figures(stage, one.mesh, one.shapes)
    count = sum(one.shapes.params[name].size for name in frozen(one))
    assert figures == {"frozen_parameters": count, "saved_state_bytes_per_device": 12 * count}
