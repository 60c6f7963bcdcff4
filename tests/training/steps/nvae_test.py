"""NVAE trains: running values are in the state, and resuming equals an uninterrupted run."""

import jax
import numpy as np
import pytest
from tiny_step import compiled, run, run_with_a_break

from pipeline.losses import spectral
from pipeline.training.checkpoints.store import Checkpoints

RECIPE = "nvae/cifar10.py"


def test_statistics_and_directions_are_in_the_state_and_move():
    before, after = compiled(RECIPE, 1)[0], run(RECIPE, 1, 2)[0]
    names = {
        name.rpartition(".")[2]
        for name in before.model_state
        if not name.startswith(spectral.PREFIX)
    }
    assert names == {"mean", "variance"} and any(
        name.startswith(spectral.PREFIX) for name in before.model_state
    )
    # A direction in one dimension has nowhere to go.
    moving = [name for name in before.model_state if not name.endswith("x1")]
    still = [
        name for name in moving if np.array_equal(before.model_state[name], after.model_state[name])
    ]
    assert not still and int(after.skipped) == 0


@pytest.mark.slow
def test_one_and_eight_devices_give_the_same():
    (one, metrics), (eight, more) = run(RECIPE, 1, 2), run(RECIPE, 8, 2)
    for name in ("loss", "distortion", "rate", "spectral_norms"):
        np.testing.assert_allclose(metrics[name], more[name], rtol=2e-4, err_msg=name)
    for name, array in one.model_state.items():
        np.testing.assert_allclose(
            array, eight.model_state[name], rtol=2e-3, atol=2e-4, err_msg=name
        )


def test_a_restored_run_goes_on_bit_for_bit(tmp_path):
    whole, _ = run(RECIPE, 1, 3)
    state = run_with_a_break(RECIPE, tmp_path)
    jax.tree.map(np.testing.assert_array_equal, state, whole)


def test_what_a_codec_takes_has_no_directions(tmp_path):
    state, shapes, _ = compiled(RECIPE, 1)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state, {}, {})
    checkpoints.wait()
    model_state = {
        name: shape
        for name, shape in shapes.model_state.items()
        if not name.startswith(spectral.PREFIX)
    }
    weights = checkpoints.weights(1, dict(shapes.params), model_state)
    checkpoints.close()
    assert (
        weights["model_state"].keys() == model_state.keys()
        and weights["params"].keys() == shapes.params.keys()
    )
