"""Rate and distortion of latents with a KL, and of codes whose entropy is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.core.errors import DataError
from pipeline.core.types import Latent
from pipeline.distributions.continuous import Reconstruction
from pipeline.evaluators import rate

KEY = jax.random.key(0)
SIZE = 4


class TwoLayers(nnx.Module):
    """A layer of two nats, and one of codes; the decoder shows an image only if it has both."""

    num_layers = 2

    def encode(self, image, *, key=None):
        zeros = jnp.zeros((len(image), 2))
        indices = image[..., 0].astype(jnp.int32)
        z = image.astype(jnp.float32)
        codes = Latent(z, jnp.full((*indices.shape, 1), 9.0), indices=indices, num_codes=256)
        return Latent(zeros, zeros + 1.0, zeros, zeros), codes

    def decode(self, latents):
        shape = (len(latents[0]), SIZE, SIZE, 1)
        return Reconstruction(
            jnp.full(shape, -1.0) if len(latents) == 1 else latents[1] / 127.5 - 1
        )


def batches():
    """Yield images whose pixels are a quarter 255 and otherwise 0, and one that is padding."""
    image = np.zeros((3, SIZE, SIZE, 1), np.uint8)
    image[:, 0] = 255
    image[2] = 7
    yield {"image": image, "mask": np.array([1, 1, 0], np.float32)}


def test_each_layer_adds_its_bits_and_takes_distortion_away():
    report = rate.evaluate(TwoLayers(), batches(), key=KEY)
    kl, entropy = 2 / np.log(2), 2 - 0.75 * np.log2(3)  # bits an image, and a position
    first, second = report["table"]
    assert (first["layers"], second["layers"]) == (1, 2)
    np.testing.assert_allclose(first["bits_per_value"], kl / 16, rtol=1e-6)
    np.testing.assert_allclose(second["bits_per_value"], kl / 16 + entropy, rtol=1e-6)
    assert report["code_bits_per_pixel"] == report["code_bits_per_value"]
    np.testing.assert_allclose([first["mse"], second["mse"]], [0.25, 0], atol=1e-6)
    np.testing.assert_allclose([first["psnr"], second["psnr"]], [6.0206, 100], rtol=1e-4)
    assert report["num_examples"] == 2 and report["kinds"] == ["KL", "codes' entropy"]
    with pytest.raises(DataError, match="no example"):
        rate.evaluate(TwoLayers(), iter(()), key=KEY)


def test_many_layers_have_few_rows():
    assert rate.row_layers(1) == (1,) and rate.row_layers(3) == (1, 2, 3)
    rows = rate.row_layers(43)
    assert len(rows) == rate.MOST_ROWS and rows[0] == 1 and rows[-1] == 43
