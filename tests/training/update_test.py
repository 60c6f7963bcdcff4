"""Updates: clipping, skipping large or non-finite gradients, the escape from skipping, the EMA."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pipeline.core.errors import ConfigError
from pipeline.training import optim
from pipeline.training.state import train_state as states
from pipeline.training.update import Update


def start():
    return states.fresh(
        {"w": jnp.array([3.0, 4.0])}, {"count": jnp.zeros(())}, optim.create("adamw")
    )


def update(**settings) -> Update:
    return Update(optim.create("adamw"), lambda step: jnp.asarray(0.1), 0.5, **settings)


def apply(rule: Update, state, gradient, loss=1.0):
    model_state = {"count": state.model_state["count"] + 1}
    return jax.jit(rule.__call__)(
        state, jnp.asarray(loss), {"w": jnp.asarray(gradient)}, model_state
    )


def same(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)))


def test_an_applied_step_is_optax_adamw_and_moves_the_ema():
    state, report = apply(update(), start(), [1.0, -2.0])
    tx = optax.adam(0.1)
    expected, _ = tx.update({"w": jnp.array([1.0, -2.0])}, tx.init(start().params))
    np.testing.assert_allclose(state.params["w"], start().params["w"] + expected["w"], rtol=1e-6)
    # The decay is at most (1 + n) / (10 + n) after n steps, and later the given 0.5.
    np.testing.assert_allclose(
        state.ema["w"], 0.1 * start().params["w"] + 0.9 * state.params["w"], rtol=1e-6
    )
    later = state.replace(step=state.step + 100)
    after, _ = apply(update(), later, [1.0, -2.0])
    np.testing.assert_allclose(after.ema["w"], (later.ema["w"] + after.params["w"]) / 2, rtol=1e-6)
    np.testing.assert_allclose(report["gradient_norm"], np.sqrt(5), rtol=1e-6)
    assert (
        int(state.step) == 1 and int(state.skipped) == 0 and float(state.model_state["count"]) == 1
    )


def test_frozen_parameters_keep_their_values_and_their_gradients_do_not_count():
    optimizer = optim.create("adamw", weight_decay=0.1)
    params = {"a.w": jnp.array([3.0]), "ab.w": jnp.array([3.0]), "c": jnp.array([3.0])}
    state = states.fresh(params, {}, optimizer)
    rule = Update(optimizer, lambda step: jnp.asarray(0.1), 0.5, frozen=("a", "c"))
    gradients = {name: jnp.array([4.0]) for name in params}
    state, report = jax.jit(rule.__call__)(state, jnp.ones(()), gradients, {})
    assert {name: float(array[0]) == 3.0 for name, array in state.params.items()} == {
        "a.w": True,
        "ab.w": False,
        "c": True,
    }
    assert float(report["gradient_norm"]) == 4.0
    with pytest.raises(ConfigError, match=r"optimizer\.frozen: no parameter is in 'b'"):
        Update(optimizer, rule.learning_rate, 0.5, frozen=("b",))(
            state, jnp.ones(()), gradients, {}
        )


def test_clipping_scales_to_the_norm():
    # Adam's first moment after one step is (1 - b1) times the gradient it saw.
    state, _ = apply(update(clip_norm=1.0), start(), [3.0, 4.0])
    np.testing.assert_allclose(state.opt_state.mu["w"], 0.1 * np.array([0.6, 0.8]), rtol=1e-5)


@pytest.mark.parametrize(
    "gradient, loss", [([np.nan, 1.0], 1.0), ([np.inf, 1.0], 1.0), ([1.0, 1.0], np.nan)]
)
def test_a_non_finite_step_changes_only_counters(gradient, loss):
    before = start()
    after, report = apply(update(clip_norm=1.0, skip_norm=5.0, max_skips=0), before, gradient, loss)
    for part in ("params", "ema", "opt_state", "model_state"):
        assert same(getattr(before, part), getattr(after, part)), part
    assert (
        int(after.step) == 1
        and int(after.skipped) == 1
        and int(report["consecutive_nonfinite"]) == 1
    )
    again, _ = apply(update(), after, [1.0, 1.0])
    assert int(again.consecutive_nonfinite) == 0 and not same(again.params, before.params)


@pytest.mark.parametrize(
    "broken",
    [
        dict(rate=np.nan),
        dict(rate=np.inf),
        dict(eps=0.0),  # 0 / 0 where the gradient is 0
        dict(weight_decay=np.nan),
        dict(clip_norm=np.nan),
        dict(statistic=np.nan),
        dict(statistic=np.inf),
        dict(ema=np.nan),
    ],
    ids=str,
)
def test_what_would_be_written_must_be_finite(broken):
    rate, count = broken.get("rate", 0.1), broken.get("statistic", 1.0)
    optimizer = optim.create(
        "adamw", eps=broken.get("eps", 1e-8), weight_decay=broken.get("weight_decay", 0.0)
    )
    rule = Update(optimizer, lambda step: jnp.asarray(rate), 0.5)
    if "clip_norm" in broken:
        object.__setattr__(rule, "clip_norm", np.nan)
    before = states.fresh({"w": jnp.array([3.0, 4.0])}, {"count": jnp.zeros(())}, optimizer)
    if "ema" in broken:
        before = before.replace(ema={"w": jnp.array([3.0, np.nan])})
    arguments = {"w": jnp.array([0.0, 1.0])}, {"count": jnp.asarray(count)}
    after, report = jax.jit(rule.__call__)(before, jnp.ones(()), *arguments)
    assert np.isfinite(report["gradient_norm"]) and int(report["consecutive_nonfinite"]) == 1
    for part in ("params", "opt_state", "model_state"):
        assert same(getattr(before, part), getattr(after, part)), part


def test_large_gradients_are_skipped_max_skips_times_and_then_applied_clipped():
    rule, state = update(clip_norm=1.0, skip_norm=5.0, max_skips=2), start()
    moved = []
    for _ in range(4):
        previous = state
        state, _ = apply(rule, state, [30.0, 40.0])
        moved.append(not same(previous.params, state.params))
    assert moved == [False, False, True, True] and int(state.skipped) == 2
    state, _ = apply(rule, state, [0.1, 0.1])
    assert int(state.consecutive_large_grads) == 0
    after, _ = apply(rule, state, [30.0, 40.0])
    assert same(after.params, state.params)


def test_adamax_has_the_infinity_norm_of_nvae():
    tx = optim.create("adamax", b1=0.9, b2=0.5, eps=0.1)
    opt_state = tx.init({"w": jnp.zeros(1)})
    norm, mean = 0.0, 0.0
    for count, gradient in enumerate([4.0, 1.0, 0.2], start=1):
        updates, opt_state = tx.update({"w": jnp.array([gradient])}, opt_state)
        norm, mean = max(0.5 * norm, abs(gradient) + 0.1), 0.9 * mean + 0.1 * gradient
        np.testing.assert_allclose(updates["w"], [mean / (1 - 0.9**count) / norm], rtol=1e-5)


def test_weight_decay_is_decoupled():
    state = states.fresh({"w": jnp.array([2.0])}, {}, optim.create("adamw", weight_decay=0.1))
    rule = Update(optim.create("adamw", weight_decay=0.1), lambda step: jnp.asarray(0.5), 0.0)
    after, _ = jax.jit(rule.__call__)(state, jnp.asarray(1.0), {"w": jnp.zeros(1)}, {})
    np.testing.assert_allclose(after.params["w"], [2.0 - 0.5 * 0.1 * 2.0], rtol=1e-6)


def test_learning_rate_warms_up_and_decays():
    def rate(step, decay):
        return float(
            optim.learning_rate(
                step, peak=1.0, warmup_steps=10, decay=decay, num_steps=110, final=0.2
            )
        )

    assert (
        rate(0, "constant") == pytest.approx(0.1)
        and rate(9, "constant") == 1.0
        and rate(500, "constant") == 1.0
    )
    assert rate(60, "linear") == pytest.approx(0.6) and rate(110, "linear") == pytest.approx(0.2)
    assert rate(60, "cosine") == pytest.approx(0.6) and rate(35, "cosine") == pytest.approx(
        0.2 + 0.8 * 0.853553, rel=1e-5
    )
    large = optim.learning_rate(0, peak=0, warmup_steps=0, decay="linear", num_steps=1, final=2**40)
    assert float(large) == 0.0, "integers of more than 32 bits are numbers"


def test_impossible_settings_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'adamw'"):
        optim.create("adamv")
    with pytest.raises(ConfigError, match=r"optimizer\.decay"):
        optim.learning_rate(0, peak=1.0, warmup_steps=0, decay="cosin", num_steps=1)
    with pytest.raises(ConfigError, match="ema=1"):
        Update(optim.create(), lambda step: step, 1.0)
