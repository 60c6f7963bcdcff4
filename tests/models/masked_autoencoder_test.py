"""Masked autoencoders: what the loss depends on, and the frozen encoder read from a codec."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline import Codec, models
from pipeline.core import parameters
from pipeline.core.errors import ConfigError
from pipeline.frozen import encoder

RECIPE = dict(
    name="masked_autoencoder.MaskedAutoencoder",
    image_size=16,
    width=16,
    depth=2,
    heads=2,
    decoder_width=8,
    decoder_depth=1,
    decoder_heads=2,
)


@pytest.fixture(scope="module")
def model():
    return models.create(RECIPE, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def images():
    x = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3))
    return jnp.asarray(x, jnp.uint8)


def test_errors_are_of_hidden_patches_and_predictions_of_seen_ones(model, images):
    def run(images):
        outputs = model({"image": images}, key=jax.random.key(1), train=True)
        return outputs.recon.mean(), outputs.aux["patch_mask"]

    program = jax.jit(run)
    recon, mask = program(images)
    assert mask.shape == (2, 16) and np.all(mask.sum(axis=1) == 12)
    hidden = np.kron(mask.reshape(2, 4, 4), np.ones((4, 4)))[..., None] > 0
    x = images / 127.5 - 1
    np.testing.assert_allclose(np.where(hidden, 0, recon - x), 0, atol=1e-6)
    assert np.abs(np.where(hidden, recon - x, 0)).max() > 0.1
    # What is hidden does not reach the predictions.
    changed = jnp.where(hidden, 255 - images, images).astype(jnp.uint8)
    np.testing.assert_array_equal(
        jnp.where(hidden, program(changed)[0], 0), jnp.where(hidden, recon, 0)
    )


def test_a_frozen_encoder_reads_the_folder_of_the_codec(model, images, tmp_path):
    modeldef, params, _ = parameters.split(model)
    about = {"model": RECIPE, "dtype": "float32", "latent_shapes": [[4, 4, 16]]}
    about |= {"num_parameters": 1, "input": {"image_shape": [16, 16, 3]}}
    codec = Codec.of(modeldef, params, about)
    codec.save_pretrained(tmp_path / "teacher")
    found, weights = encoder.create(name="mae", weights=str(tmp_path / "teacher"))
    assert found.stand_in and found.describe()["stand_in"] and found.width == 16
    features = jax.jit(found.__call__)(jax.device_put(weights), images)
    (latent,) = model.encode(images)
    np.testing.assert_allclose(features.patches, latent.z, atol=1e-5)


def test_sizes_that_cannot_work():
    for wrong in (dict(image_size=15), dict(hidden=1.0), dict(width=6)):
        with pytest.raises(ConfigError, match=r"model\.(image_size|hidden)"):
            models.create(RECIPE | wrong, rngs=nnx.Rngs(0))
