"""A codec of vectors: it takes finite numbers of its width, and gives back numbers, not pixels."""

import jax
import numpy as np
import pytest
from flax import nnx

from pipeline import models
from pipeline.core import parameters
from pipeline.core.errors import DataError
from pipeline.pretrained.load import Codec

RECIPE = dict(name="vector_vae.VectorVAE", num_features=3, latent_dim=2, hidden=(4,))


@pytest.fixture(scope="module")
def codec():
    modeldef, params, state = parameters.split(models.create(RECIPE, rngs=nnx.Rngs(0)))
    config = {"model": RECIPE, "dtype": "float32", "input": {"example_shape": [3]}}
    return Codec.of(modeldef, params | state, config | {"latent_shapes": [[2]]})


def test_a_folder_gives_the_same_numbers(codec, tmp_path):
    x = np.array([[300.0, 0.5, -2.0], [0.0, 1.0, 2.0]], np.float32)
    codec.save_pretrained(tmp_path)
    again = Codec.from_pretrained(tmp_path)
    z = codec.encode(x).mode()
    assert z.shape == (2, 2)
    np.testing.assert_array_equal(again.encode(x).mode(), z)
    found = again.decode(z)
    assert found.shape == x.shape and found.dtype == np.float32
    np.testing.assert_array_equal(found, codec.reconstruct(x))
    drawn = codec.sample(5, jax.random.key(0))
    assert drawn.shape == (5, 3) and len(np.unique(drawn)) == 15
    card = (tmp_path / "README.md").read_text()
    assert "vectors of 3 numbers" in card and "image" not in card


@pytest.mark.parametrize(
    "x, message",
    [
        (np.zeros((2, 4)), r"shape \[2, 4\], but this codec takes \[batch 3\]"),
        (np.array([[1.0, np.nan, 0.0]]), "NaN or infinite"),
        (np.array([["a", "b", "c"]]), "must be numbers"),
    ],
)
def test_other_inputs_are_refused(codec, x, message):
    with pytest.raises(DataError, match=message):
        codec.encode(x)


def test_numbers_without_a_density_are_refused():
    recipe = RECIPE | dict(likelihood=dict(name="phase_type", num_phases=2))
    modeldef, params, state = parameters.split(models.create(recipe, rngs=nnx.Rngs(0)))
    codec = Codec.of(modeldef, params | state, {"model": recipe, "input": {"example_shape": [3]}})
    assert codec.encode(np.zeros((1, 3))).mode().shape == (1, 2)
    with pytest.raises(DataError, match="a value of -2, but this codec's numbers are at least 0"):
        codec.encode(np.array([[1.0, -2.0, 0.0]]))
