"""Imports of VDVAE without torch; tests/parity compares the network."""

import pytest
from importer_checks import (
    check_every_tensor_is_imported,
    check_tensors_that_do_not_fit_are_named,
    shapes_of,
)
from released_weights import MNIST, vdvae_tensors
from tiny_codec import HIERARCHY

from pipeline.core.errors import CheckpointError
from pipeline.importers import openai_vdvae


def test_every_tensor_is_imported():
    check_every_tensor_is_imported(openai_vdvae, HIERARCHY, vdvae_tensors())


def test_tensors_that_do_not_fit_are_named():
    check_tensors_that_do_not_fit_are_named(openai_vdvae, HIERARCHY, vdvae_tensors())


def test_another_number_of_blocks_is_reported_first():
    with pytest.raises(
        CheckpointError, match=r"the file has 4 encoder blocks, the recipe 5: set model.enc_blocks"
    ):
        openai_vdvae.convert(vdvae_tensors(encoder=(8, 8, 4, 1)), shapes_of(HIERARCHY), path="file")


def test_a_weight_without_a_counterpart_stops_the_conversion():
    with pytest.raises(CheckpointError, match="has no counterpart"):
        openai_vdvae.convert(vdvae_tensors(), shapes_of(MNIST), path="file")
