"""Imports of TAESD without torch; tests/parity compares the network."""

import autoencoders
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx
from released_weights import taesd

from pipeline import models
from pipeline.core import parameters
from pipeline.core.errors import CheckpointError
from pipeline.importers import taesd as taesd_importer


@pytest.mark.parametrize("channels, pool", [(4, False), (32, True)])
def test_every_tensor_of_taesd_is_imported(channels, pool):
    tensors = taesd(channels, pool)
    recipe = taesd_importer.recipe(["a", "b"], tensors)
    assert recipe["latent_channels"] == channels and recipe["decoder"]["pool"] == pool
    _, shapes, _ = parameters.abstract(lambda: models.create(recipe, rngs=nnx.Rngs(0)))
    weights = taesd_importer.convert(tensors, shapes, path="a and b")
    assert sum(array.size for array in weights.values()) == sum(
        array.size for array in tensors.values()
    )
    name = "decoder.stages.3.blocks.0.convs.2.kernel"
    np.testing.assert_array_equal(
        weights[name], tensors["decoder.18.conv.4.weight"].transpose(2, 3, 1, 0)
    )


def test_other_kinds_of_taesd_are_refused():
    _, shapes, _ = parameters.abstract(
        lambda: models.create(autoencoders.taesd(latent_channels=32), rngs=nnx.Rngs(0))
    )
    with pytest.raises(
        CheckpointError, match=r"\(set model.encoder.pool=True and model.decoder.pool=True\)"
    ):
        taesd_importer.convert(taesd(32, True), shapes, path="a and b")
    with pytest.raises(CheckpointError, match="is not the encoder of a TAESD"):
        taesd_importer.recipe(["a", "b"], {})


def test_one_file_of_both_networks_is_given_twice(tmp_path):
    tensors = taesd(4, False)
    file = tmp_path / "vae.safetensors"
    safetensors.numpy.save_file({f"taesd_{name}": a for name, a in tensors.items()}, file)
    assert taesd_importer.load([str(file)] * 2).keys() == tensors.keys()
    imported = taesd_importer.read([str(file)] * 2)
    np.testing.assert_array_equal(
        imported.arrays["decoder.conv_out.bias"], tensors["decoder.19.bias"]
    )
