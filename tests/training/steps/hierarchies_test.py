"""Hierarchies resume bit for bit and train on any number of devices."""

import jax
import numpy as np
import pytest
from tiny_step import run, run_with_a_break

SLOW = pytest.mark.slow
HIERARCHIES = ["hq_vae/cifar10.py", "iaf_vae/cifar10.py", "ladder_vae/mnist.py"]


# HQ-VAE has codebooks, and steps/nvae_test.py running statistics; the slow ones have nothing more.
@pytest.mark.parametrize(
    "recipe", [HIERARCHIES[0], *(pytest.param(each, marks=SLOW) for each in HIERARCHIES[1:])]
)
def test_a_restored_run_goes_on_bit_for_bit(recipe, tmp_path):
    whole, metrics = run(recipe, 1, 3)
    assert np.isfinite(metrics["loss"]) and int(whole.skipped) == 0
    jax.tree.map(np.testing.assert_array_equal, run_with_a_break(recipe, tmp_path), whole)


@SLOW
@pytest.mark.parametrize("recipe", HIERARCHIES)
def test_one_and_eight_devices_give_the_same(recipe):
    (one, metrics), (eight, more) = run(recipe, 1, 2), run(recipe, 8, 2)
    for name in ("loss", "distortion", "rate", "gradient_norm"):
        np.testing.assert_allclose(metrics[name], more[name], rtol=2e-4, err_msg=name)
    # Adam moves a parameter whose gradient is zero up to rounding by a whole step in either
    # direction, so that a few elements may differ by that much.
    differ = {
        name: ~np.isclose(array, eight.params[name], rtol=2e-3, atol=2e-4)
        for name, array in one.params.items()
    }
    assert sum(each.sum() for each in differ.values()) <= 1e-3 * sum(map(np.size, differ.values()))
    for name, array in one.params.items():
        np.testing.assert_allclose(array, eight.params[name], rtol=2e-3, atol=2e-3, err_msg=name)
    for name, array in one.model_state.items():
        np.testing.assert_allclose(
            array, eight.model_state[name], rtol=2e-3, atol=2e-4, err_msg=name
        )
