"""Models that take labels resume bit for bit and train on any number of devices."""

import jax
import numpy as np
import pytest
from tiny_step import run, run_with_a_break

RECIPES = pytest.mark.parametrize("recipe", ["cvae/digits.py", "m2/mnist.py"])


@RECIPES
def test_a_restored_run_goes_on_bit_for_bit(recipe, tmp_path):
    whole, metrics = run(recipe, 1, 3)
    assert np.isfinite(metrics["loss"]) and int(whole.skipped) == 0
    jax.tree.map(np.testing.assert_array_equal, run_with_a_break(recipe, tmp_path), whole)


@RECIPES
def test_one_and_eight_devices_give_the_same(recipe):
    (_, one), (_, eight) = run(recipe, 1, 2), run(recipe, 8, 2)
    for name in ("loss", "elbo", "gradient_norm"):
        np.testing.assert_allclose(one[name], eight[name], rtol=2e-4, err_msg=name)
