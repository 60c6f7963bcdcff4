"""Imports of VDVAE and disentangling-vae; tests/parity compares the networks."""

import numpy as np
import pytest
from flax import nnx
from released_weights import MNIST, burgess_tensors, noise, vdvae_tensors
from tiny_codec import HIERARCHY

from pipeline import models
from pipeline.core import parameters
from pipeline.core.errors import CheckpointError
from pipeline.importers import disentangling_vae as disentangling_vae_importer
from pipeline.importers import openai_vdvae as openai_vdvae_importer

LARGE = dict(MNIST, image_size=64, image_channels=3, channels=(32,) * 4)


def shapes_of(recipe):
    return parameters.abstract(lambda: models.create(recipe, rngs=nnx.Rngs(0)))[1]


CASES = {
    "vdvae": (openai_vdvae_importer, HIERARCHY, vdvae_tensors),
    "mnist": (disentangling_vae_importer, MNIST, burgess_tensors),
    "64x64": (disentangling_vae_importer, LARGE, lambda: burgess_tensors(64, 3)),
}


@pytest.mark.parametrize("case", CASES)
def test_every_tensor_is_imported(case):
    converter, recipe, make = CASES[case]
    tensors, shapes = make(), shapes_of(recipe)
    weights = converter.convert(tensors, shapes, path="file")
    assert {name: array.shape for name, array in weights.items()} == {
        n: s.shape for n, s in shapes.items()
    }
    ours = np.sort(np.concatenate([array.ravel() for array in weights.values()]))
    theirs = np.sort(np.concatenate([array.ravel() for array in tensors.values()]))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("case", CASES)
def test_tensors_that_do_not_fit_are_named(case):
    converter, recipe, make = CASES[case]
    tensors, shapes = make(), shapes_of(recipe)
    first = sorted(name for name in tensors if name.endswith("weight"))[0]
    missing = {name: array for name, array in tensors.items() if name != first}
    for changed, message in (
        (missing, f"1 missing: {first}"),
        (tensors | {"extra": noise(1)}, "1 unknown to the recipe: extra"),
        (tensors | {first: noise(3, 3, 1, 1)}, f"1 of another shape: {first}"),
        (tensors | {first: noise(3)}, f"1 of another shape: {first} [3]"),
    ):
        with pytest.raises(CheckpointError) as error:
            converter.convert(changed, shapes, path="file")
        assert message in str(error.value)
        assert "\n" not in str(error.value)


def test_another_number_of_blocks_is_reported_first():
    with pytest.raises(
        CheckpointError, match=r"the file has 4 encoder blocks, the recipe 5: set model.enc_blocks"
    ):
        openai_vdvae_importer.convert(
            vdvae_tensors(encoder=(8, 8, 4, 1)), shapes_of(HIERARCHY), path="file"
        )


def test_a_weight_without_a_counterpart_stops_the_conversion():
    with pytest.raises(CheckpointError, match="has no counterpart"):
        openai_vdvae_importer.convert(vdvae_tensors(), shapes_of(MNIST), path="file")


def test_feature_maps_are_flattened_with_channels_last():
    features = noise(32, 4, 4)
    tensors = burgess_tensors()
    weights = disentangling_vae_importer.convert(tensors, shapes_of(MNIST), path="file")
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
