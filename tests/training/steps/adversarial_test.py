"""The adversarial step: two updates, their weight, bad gradients, one device against eight."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny_gan import batch_of, tiny

from pipeline import build
from pipeline.core import pixels
from pipeline.core.errors import ConfigError
from pipeline.losses import adversarial
from pipeline.training.state import mesh as meshes
from pipeline.training.state import sharding
from pipeline.training.state import train_state as states


class Setup:
    """The state and step of a recipe on several devices; programs by variant."""

    def __init__(self, settings: dict, devices: int = 1):
        self.settings = settings
        self.mesh = meshes.create(devices=jax.devices()[:devices])
        self.extras = build.extras(settings)
        create, optimizer = build.model_factory(settings), build.update(settings).optimizer
        self.modeldef, self.shapes = states.abstract(
            create, optimizer, self.mesh, None, self.extras
        )
        self.start = states.initialize(create, optimizer, self.shapes, 0, self.extras)
        self.step = build.step(settings, self.modeldef, self.mesh)
        self.programs = {}

    def batch(self, number: int):
        return sharding.place(batch_of(number), sharding.batch_sharding(self.mesh))

    def run(self, state, batch, number: int):
        """Run the step of that number; the state passed in stays usable."""
        variant = self.step.variant(number)
        if variant not in self.programs:
            lowered = sharding.lower_step(self.step.program(variant), state, batch, {})
            self.programs[variant] = lowered.compile()
        return self.programs[variant](jax.tree.map(jnp.copy, state), batch, {})

    def steps(self, count: int):
        state = self.start
        for number in range(1, count + 1):
            state, metrics = self.run(state, self.batch(number), number)
        return state, metrics


def same(a, b) -> bool:
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y, equal_nan=True) for x, y in leaves)


@pytest.fixture(scope="module")
def one() -> Setup:
    return Setup(tiny())


PARTS = dict(
    objective__adversarial__warmup_steps=4,
    objective__adversarial__adaptive=False,
    model__noise=False,
    grad_accum_steps=2,
)


@pytest.fixture(scope="module")
def parts() -> Setup:
    return Setup(tiny(**PARTS))


def test_before_its_start_the_discriminator_stays_as_it_was(one):
    assert [one.step.variant(number) for number in (1, 4, 5, 6, 9)] == [
        "generator_only",
        "generator_only",
        "adversarial_r1",
        "adversarial",
        "adversarial_r1",
    ]
    state, metrics = one.run(one.start, one.batch(0), 1)
    assert same(state.discriminator, one.start.discriminator) and "discriminator" not in metrics
    assert not same(state.params, one.start.params)
    np.testing.assert_allclose(
        metrics["loss"], metrics["l1"] + 1e-6 * metrics["kl"].sum(), rtol=1e-5
    )


def test_both_are_updated_and_logged(one):
    state, metrics = one.run(one.start, one.batch(0), 5)
    assert (
        not same(state.discriminator.params, one.start.discriminator.params)
        and int(state.discriminator.step) == 1
    )
    assert not same(state.params, one.start.params) and state.discriminator.ema == {}
    assert {
        "generator",
        "discriminator",
        "adversarial_weight",
        "real_logits",
        "fake_logits",
        "r1",
        "lecam",
    } <= {*metrics}
    for kind in ("real", "fake"):
        np.testing.assert_allclose(
            state.discriminator.model_state[f"lecam.{kind}"],
            0.001 * metrics[f"{kind}_logits"],
            rtol=1e-3,
        )
    assert "r1" not in one.run(one.start, one.batch(0), 6)[1]
    assert "discriminator 1.0" in one.step.console_summary(metrics)


def test_gradients_are_those_of_the_losses_written_out(one):
    """With plain gradient descent, a step's change is the gradient."""
    settings = tiny(
        objective__adversarial__r1=0.0, objective__adversarial__lecam=0.0, optimizer__warmup_steps=0
    )
    setup = Setup(settings)
    plain = dict(optimizer=optax.identity(), learning_rate=lambda step: jnp.float32(1.0))
    update = dataclasses.replace(setup.step.update, **plain)
    setup.step = dataclasses.replace(setup.step, update=update, discriminator_update=update)
    start = setup.start
    empty = optax.identity().init({})
    start = dataclasses.replace(
        start,
        opt_state=empty,
        discriminator=dataclasses.replace(start.discriminator, opt_state=empty),
    )
    batch = jax.tree.map(jnp.asarray, batch_of(0))
    after, metrics = jax.jit(setup.step.program("adversarial"))(start, batch, {})
    x = pixels.to_float(batch["image"])
    key = jax.random.fold_in(jax.random.key(0), 0)

    def discriminate(params, x):
        return setup.step.discriminator.merge(params, start.discriminator.model_state)(x)

    def terms(params):
        outputs = setup.modeldef.merge(params)(batch, key=key, train=True)
        error = jnp.abs(outputs.recon.mean() - x).sum(axis=(1, 2, 3)).mean()
        logvar = params["objective.logvar"]
        nll = error * jnp.exp(-logvar) + x[0].size * logvar
        g = -discriminate(start.discriminator.params, outputs.recon.mean()).mean()
        return nll, nll + 1e-6 * outputs.latents[0].kl.sum() / 8, g

    gradients = [
        jax.jit(jax.grad(lambda p, part=part: terms(p)[part]))(start.params) for part in range(3)
    ]
    of_nll, of_g = (gradients[part]["decode_conv.kernel"] for part in (0, 2))
    weight = 0.5 * min(1e4, np.linalg.norm(of_nll) / (np.linalg.norm(of_g) + 1e-4))
    np.testing.assert_allclose(metrics["adversarial_weight"], weight, rtol=1e-4)
    for name, before in start.params.items():
        expected = (gradients[1][name] + weight * gradients[2][name]) / x[0].size
        np.testing.assert_allclose(
            before - after.params[name], expected, rtol=2e-3, atol=1e-6, err_msg=name
        )

    fake = setup.modeldef.merge(start.params)(batch, key=key, train=True).recon.mean()

    def game(params):
        return adversarial.hinge_discriminator(discriminate(params, x), discriminate(params, fake))

    of_discriminator = jax.jit(jax.grad(lambda params: game(params).mean()))(
        start.discriminator.params
    )
    for name, before in start.discriminator.params.items():
        moved = before - after.discriminator.params[name]
        np.testing.assert_allclose(
            moved, of_discriminator[name], rtol=2e-3, atol=1e-6, err_msg=name
        )


@pytest.mark.parametrize("whose", ["discriminator", "model"])
def test_a_bad_gradient_of_either_enters_nothing(one, whose):
    bad = one.start
    if whose == "discriminator":
        params = dict(bad.discriminator.params)
        params["convs.1.kernel"] = params["convs.1.kernel"].at[0, 0, 0, 0].set(jnp.nan)
        bad = dataclasses.replace(
            bad, discriminator=dataclasses.replace(bad.discriminator, params=params)
        )
    else:
        params = dict(bad.params)
        params["decode_conv.bias"] = params["decode_conv.bias"].at[0].set(jnp.inf)
        bad = dataclasses.replace(bad, params=params)
    state, metrics = one.run(bad, one.batch(0), 5)
    for part in ("params", "ema", "opt_state", "model_state"):
        assert same(getattr(state, part), getattr(bad, part)), part
        assert same(getattr(state.discriminator, part), getattr(bad.discriminator, part)), part
    assert [
        int(metrics[name]) for name in ("skipped", "discriminator_skipped", "consecutive_nonfinite")
    ] == [1, 1, 1]
    assert int(state.step) == 1 and int(state.discriminator.consecutive_nonfinite) == 1


def test_too_large_a_gradient_skips_its_own_update_alone():
    setup = Setup(tiny(discriminator__optimizer__skip_norm=1e-6))
    state, metrics = setup.run(setup.start, setup.batch(0), 6)
    assert (
        same(state.discriminator.params, setup.start.discriminator.params)
        and int(metrics["discriminator_skipped"]) == 1
    )
    assert not same(state.params, setup.start.params) and int(metrics["skipped"]) == 0


def test_one_device_and_eight_agree(one):
    state, metrics = one.steps(6)
    eight, metrics_of_eight = Setup(tiny(), devices=8).steps(6)
    # Adam's steps hide a factor, which norms show, and amplify rounding where a gradient is near 0.
    norms = ("gradient_norm", "discriminator_gradient_norm")
    for name in ("loss", "discriminator", "generator", "adversarial_weight", *norms):
        np.testing.assert_allclose(metrics[name], metrics_of_eight[name], rtol=2e-4, err_msg=name)
    largest = max(
        eight.discriminator.params, key=lambda name: eight.discriminator.params[name].size
    )
    for mine, theirs in ((state, eight), (state.discriminator, eight.discriminator)):
        for name in mine.params:
            np.testing.assert_allclose(
                mine.params[name], theirs.params[name], atol=1e-4, err_msg=name
            )
    split = eight.discriminator.opt_state[0].mu[largest]
    assert (
        split.size < sharding.MIN_SHARDED or split.addressable_shards[0].data.size * 8 == split.size
    )


def test_an_update_of_one_network_that_is_not_finite_leaves_both_unchanged(one):
    broken = dataclasses.replace(
        one.step.discriminator_update, learning_rate=lambda step: jnp.float32(jnp.inf)
    )
    step = dataclasses.replace(one.step, discriminator_update=broken).program("adversarial")
    state, metrics = jax.jit(step)(one.start, one.batch(0), {})
    assert np.isfinite(metrics["gradient_norm"]) and int(metrics["consecutive_nonfinite"]) == 1
    for part in ("params", "ema", "opt_state", "model_state"):
        assert same(getattr(state, part), getattr(one.start, part)), part
    assert same(state.discriminator.params, one.start.discriminator.params)


def test_a_learned_log_variance_and_the_warm_up_of_the_game(parts):
    state, metrics = parts.run(parts.start, parts.batch(0), 6)
    np.testing.assert_allclose(metrics["adversarial_weight"], 0.5 / 4)
    assert float(state.params["objective.logvar"]) < 0, "the mean error is below 1"
    _, metrics = parts.run(state, parts.batch(1), 6)
    np.testing.assert_allclose(metrics["adversarial_weight"], 0.5 * 2 / 4)


def test_parts_of_a_batch_one_after_the_other_are_the_batch(one):
    """Noise, adaptive weight and LeCam's means are those of the whole batch."""
    (state, metrics), (same_state, same_metrics) = (
        each.run(each.start, each.batch(0), 6) for each in (one, Setup(tiny(grad_accum_steps=4)))
    )
    assert (
        metrics.keys() == same_metrics.keys()
        and {"lecam", "generator", "discriminator"} <= metrics.keys()
    )
    for name, value in metrics.items():
        np.testing.assert_allclose(same_metrics[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
    for mine, other in ((state, same_state), (state.discriminator, same_state.discriminator)):
        # Adam's second moment is the gradient squared, and hides no factor.
        for name, value in mine.opt_state[0].nu.items():
            np.testing.assert_allclose(
                other.opt_state[0].nu[name], value, rtol=1e-3, atol=1e-9, err_msg=name
            )


@pytest.mark.slow
def test_a_step_in_bfloat16_is_that_in_float32_to_its_precision(one):
    half = Setup(tiny(dtype="bfloat16"))
    (_, metrics), (state, rounded) = (
        setup.run(setup.start, setup.batch(0), 5) for setup in (one, half)
    )
    assert {
        array.dtype for array in (*state.params.values(), *state.discriminator.params.values())
    } == {np.dtype("float32")}
    for name in ("loss", "discriminator", "gradient_norm", "discriminator_gradient_norm", "r1"):
        assert 0 < abs(float(rounded[name] / metrics[name]) - 1) < 0.05, name
    assert int(rounded["skipped"]) == int(rounded["discriminator_skipped"]) == 0
    assert all(
        np.isfinite(leaf).all()
        for leaf in jax.tree.leaves((state.params, state.discriminator.params, state.ema))
    )


def test_each_new_discriminator_is_another_draw(one):
    first, again, later = (
        states.new_discriminator(one.extras, one.shapes, 0, step) for step in (0, 0, 7)
    )
    assert (
        same(first, again)
        and same(first, one.start.discriminator)
        and not same(first.params, later.params)
    )


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            dict(discriminator={}),
            "config.discriminator is missing: objective.adversarial.weight is above 0",
        ),
        (
            dict(discriminator__name="patchgan.PatchGAN"),
            "discriminator.name='patchgan.PatchGAN': did you mean",
        ),
        (
            dict(discriminator__norms="batch"),
            "discriminator.norms is not a setting of .* did you mean 'norm'",
        ),
        (dict(discriminator__optimizer__lr=1.0), "discriminator.optimizer.lr is not a setting"),
        (dict(objective__adversarial__loss="wgan"), "objective.adversarial.loss='wgan'"),
        (
            dict(objective__adversarial__begin=3),
            "objective.adversarial.begin is not a setting of GanConfig",
        ),
        (dict(objective__adversarial__lecam_decay=1.0), "lecam_decay below 1"),
        (dict(objective__perceptual=dict(weight=1.0)), "objective.perceptual.weights is empty"),
        (dict(step="gan"), "config.step='gan'"),
    ],
)
def test_recipes_that_cannot_be(one, changes, message):
    with pytest.raises(ConfigError, match=message):
        build.step(tiny(**changes), one.modeldef)
