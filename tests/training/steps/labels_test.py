"""Models that take labels resume bit for bit and train on any number of devices."""

import pytest
from guarantees import assert_resumes, assert_same_on_devices

RECIPES = pytest.mark.parametrize("recipe", ["cvae/digits.py", "m2/mnist.py"])


@RECIPES
def test_a_restored_run_goes_on_bit_for_bit(recipe, tmp_path):
    assert_resumes(recipe, tmp_path)


@RECIPES
def test_one_and_eight_devices_give_the_same(recipe):
    assert_same_on_devices(recipe, steps=2, names=("loss", "elbo", "gradient_norm"))
