"""Outputs of named layers: they are those of the layer, and the model stays as it was."""

import jax.numpy as jnp
import numpy as np
import pytest
from autoencoders import taesd
from flax import nnx

from pipeline import models
from pipeline.core import parameters
from pipeline.core.errors import ConfigError
from pipeline.losses.taps import layer_names, tapped


@pytest.fixture(scope="module")
def model():
    return models.create(taesd(width=4, num_blocks=1, image_size=8), rngs=nnx.Rngs(0))


def test_a_tap_keeps_the_output_and_leaves_the_model(model):
    x, before = jnp.ones((1, 8, 8, 3)), parameters.split(model)[0]
    with tapped(model, ["encoder.conv_in", "encoder.stages.1"]) as found:
        (latent,) = model.encode(x)
    np.testing.assert_array_equal(found["encoder.conv_in"], model.encoder.conv_in((x + 1) / 2))
    assert found["encoder.stages.1"].shape == (1, 4, 4, 4)
    np.testing.assert_array_equal(latent.z, model.encode(x)[0].z)
    assert parameters.split(model)[0] == before


def test_the_model_is_restored_after_an_error(model):
    names = parameters.split(model)[0].param_names
    with pytest.raises(ValueError, match="inside"), tapped(model, ["decoder.conv_in"]):
        raise ValueError("inside")
    assert parameters.split(model)[0].param_names == names


@pytest.mark.parametrize("name", ["decoder.stages.7", "decoder.stage.1", "decoder.stages.x"])
def test_an_unknown_layer_names_the_nearest(model, name):
    with (
        pytest.raises(ConfigError, match=rf"no layer '{name}'.*decoder.stages"),
        tapped(model, [name]),
    ):
        pass
    assert "decoder.stages.1" in layer_names(model)
