"""Images come back from their bytes exactly as they are reconstructed, and the bytes are few."""

import jax
import numpy as np
import pytest
from flax import nnx

from pipeline import models
from pipeline.core import parameters
from pipeline.core.errors import DataError
from pipeline.pretrained.load import Codec

RECIPE = dict(
    name="autoencoder.Autoencoder",
    image_size=64,
    latent_channels=12,
    encoder=dict(name="gdn.Encoder", width=8),
    bottleneck=dict(name="scale_hyperprior.ScaleHyperprior", width=6),
    decoder=dict(name="gdn.Decoder", width=8),
)


@pytest.fixture(scope="module")
def codec():
    modeldef, params, state = parameters.split(models.create(RECIPE, rngs=nnx.Rngs(0)))
    last = max(name for name in params if name.startswith("encoder") and name.endswith("kernel"))
    params = params | {last: 30 * params[last]}  # so that latents are not all zeros
    return Codec.of(modeldef, params | state, {"model": RECIPE, "input": {"bits": 8}})


@pytest.fixture(scope="module")
def images():
    noise = np.random.default_rng(0).integers(0, 256, (2, 13, 15, 3), np.uint8)
    return np.repeat(np.repeat(noise, 16, axis=1), 16, axis=2)[:, :200, :230]


def test_bytes_give_the_reconstruction_and_are_as_many_as_the_rate(codec, images):
    data = codec.compress(images)
    with pytest.warns(UserWarning, match="cuts back"):
        z, recon = codec.encode(images).mode(), codec.reconstruct(images)
    assert len(np.unique(z)) > 5
    latents, size = codec._coder.decompress(data)
    np.testing.assert_array_equal(latents, z)
    assert size == (200, 230)
    np.testing.assert_array_equal(codec.decompress(data), recon)
    assert codec.compress(images) == data
    padded, _ = codec.sizes.pad(images)
    model = codec.modeldef.merge(*codec.state)
    nats = float(jax.jit(lambda x: model.encode(x)[0].kl.sum())(padded))
    ideal = nats / np.log(2) / 8
    assert 0.99 * ideal < len(data) < 1.01 * ideal + 320, (len(data), ideal)


def test_other_bytes_and_codecs_are_refused(codec, images):
    data = codec.compress(images[:1, :64, :64])
    changed = bytearray(data)
    changed[300] ^= 1
    another = data[:9] + bytes(8) + data[17:]
    for wrong, message in (
        (b"", "not those of `compress`"),
        (b"PNG" + data, "not those of `compress`"),
        (data[:-3], "damaged"),
        (data + b"x", "damaged"),
        (bytes(changed), "damaged"),
        (another, "another codec"),
    ):
        with pytest.raises(DataError, match=message) as error:
            codec.decompress(wrong)
        assert "\n" not in str(error.value)
    recipe = RECIPE | dict(bottleneck=dict(name="gaussian.Gaussian"))
    modeldef, params, state = parameters.split(models.create(recipe, rngs=nnx.Rngs(0)))
    plain = Codec.of(modeldef, params | state, {"model": recipe, "input": {"bits": 8}})
    with pytest.raises(DataError, match="has no entropy coder"):
        plain.compress(images)
