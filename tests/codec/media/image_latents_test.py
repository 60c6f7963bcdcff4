"""Tests that latents in a file restore the image, with the codec that encoded it only."""

import numpy as np
import pytest
from tiny_codec import tiny_codec

from pipeline import Codec
from pipeline.codec.media import code_image, image_latents
from pipeline.core.errors import DataError


@pytest.fixture(params=["flat", "hierarchy"])
def coded(request, tmp_path):
    tiny_codec(request.param).save_pretrained(tmp_path / "codec")
    codec = Codec.from_pretrained(tmp_path / "codec")
    image = np.random.default_rng(0).integers(0, 256, (20, 11, codec.image_shape[2]), np.uint8)
    fitted = code_image.fit(codec, image)
    layers = code_image.encode(codec, fitted)
    path = tmp_path / "x.safetensors"
    path.write_bytes(image_latents.pack(codec, layers, fitted))
    return codec, fitted, layers, path


def test_a_file_round_trips(coded):
    codec, fitted, layers, path = coded
    stored = image_latents.unpack(path, codec)
    assert stored.tiling == fitted.tiling and stored.label is None
    assert stored.how == "tiled 3x2 of 8x8, padded to 24x16"
    for a, b in zip(stored.latents, layers, strict=True):
        np.testing.assert_array_equal(a, b)
    path.write_bytes(image_latents.pack(codec, layers, fitted, 3))
    assert image_latents.unpack(path, codec).label == 3


def test_other_files_are_refused(coded, tmp_path):
    codec, _, _, path = coded
    content = path.read_bytes()
    other = type(codec)(codec.modeldef, codec.weights, codec.config, "another")
    with pytest.raises(DataError, match="another codec"):
        image_latents.unpack(path, other)
    path.write_bytes(content[:-8])
    with pytest.raises(DataError, match="not a complete safetensors file"):
        image_latents.unpack(path, codec)
    with pytest.raises(DataError, match="no such file"):
        image_latents.unpack(tmp_path / "absent", codec)
    with pytest.raises(DataError, match="does not hold latents"):
        image_latents.unpack(tmp_path / "codec" / "model.safetensors", codec)
