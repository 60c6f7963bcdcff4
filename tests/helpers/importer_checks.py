"""Checks of an importer's `convert` on tensors under the authors' names."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from flax import nnx
from released_weights import noise

from pipeline import models
from pipeline.core import parameters
from pipeline.core.errors import CheckpointError


def shapes_of(recipe: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters of a model's recipe as shapes, by name."""
    return parameters.abstract(lambda: models.create(recipe, rngs=nnx.Rngs(0)))[1]


def check_every_tensor_is_imported(
    importer: ModuleType, recipe: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> None:
    """Check that the arrays have the model's shapes and hold every value of the tensors."""
    shapes = shapes_of(recipe)
    weights = importer.convert(tensors, shapes, path="file")
    assert {name: array.shape for name, array in weights.items()} == {
        name: shape.shape for name, shape in shapes.items()
    }
    ours = np.sort(np.concatenate([array.ravel() for array in weights.values()]))
    theirs = np.sort(np.concatenate([array.ravel() for array in tensors.values()]))
    np.testing.assert_array_equal(ours, theirs)


def check_tensors_that_do_not_fit_are_named(
    importer: ModuleType, recipe: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> None:
    """Check the one-line error for a missing, an unknown and a misshapen tensor."""
    shapes = shapes_of(recipe)
    first = min(name for name in tensors if name.endswith("weight"))
    missing = {name: array for name, array in tensors.items() if name != first}
    for changed, message in (
        (missing, f"1 missing: {first}"),
        ({**tensors, "extra": noise(1)}, "1 unknown to the recipe: extra"),
        ({**tensors, first: noise(3, 3, 1, 1)}, f"1 of another shape: {first}"),
        ({**tensors, first: noise(3)}, f"1 of another shape: {first} [3]"),
    ):
        with pytest.raises(CheckpointError) as error:
            importer.convert(changed, shapes, path="file")
        assert message in str(error.value)
        assert "\n" not in str(error.value)
