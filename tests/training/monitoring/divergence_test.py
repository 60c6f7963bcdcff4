"""Divergence is detected, and a run rolls back, skips the batches, and ends as if without them."""

import dataclasses
import json
import math

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_run
from train_run import train

from pipeline import build
from pipeline.core.errors import Diverged
from pipeline.training.checkpoints.store import Checkpoints
from pipeline.training.monitoring.divergence import Judge, RollBack, Skipped, batch_number
from pipeline.training.monitoring.step_log import first_bad_layer
from pipeline.training.state.digest import state_digest
from pipeline.training.steps.elbo import ElboStep
from pipeline.training.update import by_layer


def test_batch_numbers_skip_the_skipped_ones():
    skipped = [2, 3, 7]
    left = [number for number in range(12) if number not in skipped]
    assert [batch_number(position, skipped) for position in range(9)] == left


def feed(judge: Judge, losses: list[float], start: int = 1) -> list[str | None]:
    return [
        judge.step(start + offset, loss, math.isfinite(loss)) for offset, loss in enumerate(losses)
    ]


def noise(count: int) -> list[float]:
    return (3 + 0.01 * np.random.default_rng(0).standard_normal(count)).tolist()


def test_a_nan_is_bad_and_does_not_enter_the_window():
    judge = Judge(patience=3, spike_sigma=10)
    assert feed(judge, noise(128)) == [None] * 128
    assert feed(judge, [math.nan, math.nan]) == ["the loss or its gradient was not finite"] * 2
    assert feed(judge, noise(20)) == [None] * 20, "finite losses after a NaN are good again"


def test_a_rollback_covers_the_whole_row_of_bad_steps():
    judge = Judge(patience=3, spike_sigma=0)
    with pytest.raises(RollBack) as caught:
        feed(judge, [3.0, math.nan, 3.0, math.inf, math.nan, math.nan])
    assert (caught.value.first_step, caught.value.step) == (4, 6)


def test_a_spike_needs_a_history_and_a_minimum_ratio():
    assert feed(Judge(patience=9, spike_sigma=10), [*noise(63), 30.0])[-1] is None, (
        "the history is too short"
    )
    judge = Judge(patience=9, spike_sigma=10)
    *_, small, large = feed(judge, [*noise(128), 3.3, 30.0])
    assert small is None, "ten sigmas, but less than a fifth above the median"
    assert large is not None and "30" in large
    assert feed(Judge(patience=9, spike_sigma=0), [*noise(128), 30.0])[-1] is None


def test_rollbacks_count_until_a_checkpoint_is_beyond_them(tmp_path):
    skipped = Skipped(tmp_path)
    assert skipped.add(RollBack("why", 5, 6), 3, write=True) == [4, 5]
    assert skipped.add(RollBack("why", 5, 5), 3, write=True) == [6], (
        "step 5 had the next batch by then"
    )
    again = Skipped(tmp_path)
    assert again.batches == [4, 5, 6] and again.batch_of(5) == 7
    assert (
        again.rollbacks_after(3) == 2
        and again.rollbacks_after(5) == 1
        and again.rollbacks_after(6) == 0
    )


def test_a_state_is_to_blame_when_other_batches_right_after_it_were_bad_too(tmp_path):
    skipped = Skipped(tmp_path)
    assert not skipped.blame_state(RollBack("why", 5, 6), 3), "step 4 was good"
    assert not skipped.blame_state(RollBack("why", 1, 2), 0), "there is no state before"
    first = RollBack("why", 4, 5)
    assert not skipped.blame_state(first, 3), "these batches may be bad"
    assert skipped.add(first, 3, write=True) == [3, 4]
    skipped.add(RollBack("why", 9, 9), 8, write=True)
    assert skipped.blame_state(first, 3)
    assert skipped.add(first, 2, write=True, with_batches=False) == []
    again = Skipped(tmp_path)
    assert again.batches == [10], "the others are taken again"
    assert again.rollbacks_after(2) == 1 and not again.blame_state(first, 3)


RECORDS = [{}, [], None, 3, {"rollbacks": {}}, {"rollbacks": [3]}, {"rollbacks": [{"step": 1}]}]


@pytest.mark.parametrize("content", RECORDS, ids=str)
def test_a_record_of_another_shape_counts_as_none(tmp_path, content):
    (tmp_path / "skipped_batches.json").write_text(json.dumps(content))
    skipped = Skipped(tmp_path)
    assert skipped.batches == []
    skipped.adopt([4, 5], 7, write=True)
    assert Skipped(tmp_path).batches == [4, 5] and Skipped(tmp_path).rollbacks_after(7) == 0
    again = Skipped(tmp_path)
    again.adopt([8], 9, write=True)
    assert again.batches == [4, 5], "there was a record"


def test_layers_are_named_in_forward_order():
    names = [
        "decoder.out_conv.kernel",
        "decoder.blocks.10.c1.kernel",
        "decoder.blocks.9.c1.bias",
        "encoder.in.kernel",
    ]
    layers = list(by_layer(dict.fromkeys(names)))
    assert layers == ["encoder.in", "decoder.blocks.9", "decoder.blocks.10", "decoder.out_conv"]
    losses = ["distortion", "rate"]
    finite = dict(kl=np.ones(3), distortion=1.0, layer_gradient_norms=np.ones(4))
    assert first_bad_layer(finite, layers, losses) == "none"
    forward = finite | dict(
        kl=np.array([1, np.nan, np.nan]), layer_gradient_norms=np.full(4, np.nan)
    )
    assert "stochastic layer 1 of 3" in first_bad_layer(forward, layers, losses)
    found = first_bad_layer(finite | dict(distortion=np.inf), layers, losses)
    assert "the distortion loss" in found
    updated = finite | dict(consecutive_nonfinite=1)
    assert "the update" in first_bad_layer(updated, layers, losses)
    backward = finite | dict(layer_gradient_norms=np.array([np.nan, np.nan, 1, 1]))
    assert "decoder.blocks.9 (2 of 4 layers" in first_bad_layer(backward, layers, losses)


def poison(monkeypatch, bad, only_gradient: bool = False):
    """Make the loss, or only the gradient, NaN in the compiled step where `bad(step, index)`."""
    gradients = ElboStep._gradients

    def poisoned(self, state, model_state, batch, frozen, key):
        grads, metrics, model_state = gradients(self, state, model_state, batch, frozen, key)
        nan = jnp.where(bad(state.step, batch["index"]), jnp.nan, 1.0)
        grads = {
            name: g * (nan if name.startswith("encoder") else 1.0) for name, g in grads.items()
        }
        return (
            grads,
            metrics if only_gradient else metrics | {"loss": metrics["loss"] * nan},
            model_state,
        )

    monkeypatch.setattr(ElboStep, "_gradients", poisoned)


def recipe():
    config = tiny_run.recipe()
    config.num_steps, config.checkpoint.every, config.checkpoint.keep = 12, 3, 0
    config.mesh.fsdp = 1  # a program for one device compiles faster
    config.divergence = dict(patience=2, spike_sigma=0.0, max_rollbacks=2)
    return config


def indices_of(batches: list[int]) -> np.ndarray:
    from pipeline import build

    settings = build.complete(recipe())
    with build.dataset(settings).train(8, settings["seed"]) as stream:
        return np.concatenate([next(stream)["index"] for _ in range(max(batches) + 1)])[
            8 * min(batches) :
        ]


def digest(folder) -> str:
    return state_digest(Checkpoints(folder / "checkpoints").arrays(12))


@pytest.mark.parametrize("only_gradient", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_run_that_skips_bad_batches_equals_one_without_them(
    tmp_path, monkeypatch, capsys, only_gradient
):
    poisoned = jnp.asarray(indices_of([4, 5]))
    poison(monkeypatch, lambda step, index: jnp.isin(index, poisoned).any(), only_gradient)
    train(recipe(), tmp_path / "run")
    said = capsys.readouterr().err
    assert "step 5: the loss or its gradient was not finite" in said and "batch 4, examples" in said
    assert "back to step 3, without batches 4, 5" in said
    assert not only_gradient or "first: the gradient of encoder" in said
    incidents = [
        json.loads(line) for line in (tmp_path / "run" / "incidents.jsonl").read_text().splitlines()
    ]
    assert [each["kind"] for each in incidents] == ["bad step", "rollback"]
    assert incidents[0]["examples"] == poisoned[:8].tolist()
    metrics = [
        json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    assert [line["step"] for line in metrics] == list(range(1, 13))
    assert metrics[-1]["train"]["skipped"] == 0, "steps that changed nothing were undone"

    clean = tmp_path / "clean"
    clean.mkdir()
    rollbacks = [{"step": 6, "back_to": 3, "reason": "", "batches": [4, 5]}]
    (tmp_path / "skipped.json").write_text(json.dumps({"rollbacks": rollbacks}))
    monkeypatch.setattr(Skipped, "__init__", _reading(tmp_path / "skipped.json", Skipped.__init__))
    train(recipe(), clean)
    assert digest(tmp_path / "run") == digest(clean)


def _reading(path, original):
    def init(self, folder):
        original(self, folder)
        self._rollbacks = json.loads(path.read_text())["rollbacks"]

    return init


def test_a_run_that_stays_bad_exits_as_diverged(tmp_path, monkeypatch):
    poison(monkeypatch, lambda step, index: step >= 7)
    with pytest.raises(Diverged, match="2 rollbacks to step 6 have not helped") as caught:
        train(recipe(), tmp_path / "run")
    assert caught.value.exit_code == 76
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    assert checkpoints.latest() == 6, "nothing is saved while steps are bad"
    assert all(
        np.isfinite(array).all()
        for part in checkpoints.arrays(6).values()
        for array in part.values()
    )


def test_a_run_goes_back_beyond_checkpoints_that_it_cannot_continue_from(tmp_path, capsys):
    """Their parameters are finite, and so large that every step after them overflows."""
    short, folder = recipe(), tmp_path / "run"
    short.num_steps = 9
    train(short, folder)
    checkpoints = Checkpoints(folder / "checkpoints")
    shapes = build.run_spec(build.complete(short)).shapes
    for step in (3, 6, 9):
        state, about = checkpoints.restore(step, shapes), checkpoints.metadata(step)
        huge = {name: array * 1e30 for name, array in state.params.items()}
        checkpoints.save(step, dataclasses.replace(state, params=huge), about)
    checkpoints.close()
    capsys.readouterr()
    train(recipe(), folder)
    said = capsys.readouterr().err
    for step, batches in ((9, "9, 10"), (6, "6, 7"), (3, "3, 4")):
        assert f"back to step {step}, without batches {batches}\n" in said
        why = f"because other batches right after step {step} were bad too"
        assert f"back to step {step - 3}, {why}\n" in said
        assert f"{step}.damaged, and passed over" in said
    assert Skipped(folder).batches == [], "the batches were not to blame"
    after = Checkpoints(folder / "checkpoints")
    assert after.steps() == [3, 6, 9, 12] and after.metadata(12)["skipped_batches"] == []
