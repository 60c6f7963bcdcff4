"""Imports of disentangling-vae without torch; tests/parity compares the network."""

import numpy as np
import pytest
from importer_checks import (
    check_every_tensor_is_imported,
    check_tensors_that_do_not_fit_are_named,
    shapes_of,
)
from released_weights import MNIST, burgess_tensors, noise

from pipeline.importers import disentangling_vae

LARGE = dict(MNIST, image_size=64, image_channels=3, channels=(32,) * 4)
CASES = {"mnist": (MNIST, burgess_tensors), "64x64": (LARGE, lambda: burgess_tensors(64, 3))}


@pytest.mark.parametrize("case", CASES)
def test_every_tensor_is_imported(case):
    recipe, make = CASES[case]
    check_every_tensor_is_imported(disentangling_vae, recipe, make())


@pytest.mark.parametrize("case", CASES)
def test_tensors_that_do_not_fit_are_named(case):
    recipe, make = CASES[case]
    check_tensors_that_do_not_fit_are_named(disentangling_vae, recipe, make())


def test_feature_maps_are_flattened_with_channels_last():
    features = noise(32, 4, 4)
    tensors = burgess_tensors()
    weights = disentangling_vae.convert(tensors, shapes_of(MNIST), path="file")
    theirs = tensors["encoder.lin1.weight"] @ features.ravel()
    ours = features.transpose(1, 2, 0).ravel() @ weights["encoder.linears.0.kernel"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(weights["encoder.linears.0.bias"], tensors["encoder.lin1.bias"])
    hidden = noise(256)
    theirs = (tensors["decoder.lin3.weight"] @ hidden + tensors["decoder.lin3.bias"]).reshape(
        32, 4, 4
    )
    ours = (
        hidden @ weights["decoder.linears.2.kernel"] + weights["decoder.linears.2.bias"]
    ).reshape(4, 4, 32)
    np.testing.assert_allclose(ours.transpose(2, 0, 1), theirs, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(
        weights["encoder.posterior.bias"].reshape(2, 10),
        tensors["encoder.mu_logvar_gen.bias"].reshape(10, 2).T,
    )
