"""Hierarchies resume bit for bit and train on any number of devices."""

import pytest
from guarantees import assert_resumes, assert_same_on_devices

SLOW = pytest.mark.slow
HIERARCHIES = ["hq_vae/cifar10.py", "iaf_vae/cifar10.py", "ladder_vae/mnist.py"]


# HQ-VAE has codebooks, and steps/nvae_test.py running statistics; the slow ones have nothing more.
@pytest.mark.parametrize(
    "recipe", [HIERARCHIES[0], *(pytest.param(each, marks=SLOW) for each in HIERARCHIES[1:])]
)
def test_a_restored_run_goes_on_bit_for_bit(recipe, tmp_path):
    assert_resumes(recipe, tmp_path)


@SLOW
@pytest.mark.parametrize("recipe", HIERARCHIES)
def test_one_and_eight_devices_give_the_same(recipe):
    names = ("loss", "distortion", "rate", "gradient_norm")
    assert_same_on_devices(recipe, steps=2, names=names)
