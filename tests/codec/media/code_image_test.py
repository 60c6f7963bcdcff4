"""Tests that images of any size are coded tile by tile, independently."""

import numpy as np
import pytest
from tiny_codec import tiny_codec

from pipeline.codec.media import code_image
from pipeline.core.errors import DataError


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("kind", ["flat", "hierarchy"])
@pytest.mark.parametrize("size", [(8, 8), (20, 13)])
def test_tiles_are_coded_independently(kind, size):
    codec = tiny_codec(kind)
    image = noise(*size, codec.image_shape[2])
    fitted = code_image.fit(codec, image)
    recon = code_image.reconstruct(codec, fitted)
    assert recon.shape == image.shape
    alone = codec.reconstruct(fitted.tiling.split(image)[:1])
    # Another batch size may change the order of sums.
    assert np.abs(recon[:8, :8].astype(int) - np.asarray(alone)[0].astype(int)).max() <= 1
    latents = code_image.encode(codec, fitted)
    assert [z.shape[1:] for z in latents] == list(codec.latent_shapes)
    np.testing.assert_array_equal(code_image.decode(codec, latents, fitted.tiling), recon)


def test_batches_have_one_size_and_cover_all_rows():
    rows = noise(300, 8, 8, 1)
    batches = list(code_image._batches(rows))
    assert len({len(part) for part, _ in batches}) == 1
    np.testing.assert_array_equal(np.concatenate([part[:count] for part, count in batches]), rows)


def test_resize_takes_the_centre_square():
    codec = tiny_codec("flat")
    image = np.zeros((16, 48, 1), np.uint8)
    image[:, 16:32] = 200
    fitted = code_image.fit(codec, image, "resize")
    np.testing.assert_array_equal(fitted.shown, np.full((8, 8, 1), 200, np.uint8))
    assert fitted.how == "the centre of 16x48 resized to 8x8"
    assert code_image.fit(codec, image[:3, :4], "resize").shown.shape == (8, 8, 1)
    assert code_image.fit(codec, image[:8, :8], "resize").how == "whole"


def test_latents_too_large_for_memory_are_refused(monkeypatch):
    codec = tiny_codec("flat")
    monkeypatch.setattr(code_image, "MOST_LATENTS", 17)
    code_image.encode(codec, code_image.fit(codec, noise(8, 40, 1)))
    with pytest.raises(
        DataError, match="tiled 1x6 of 8x8, padded to 8x48: its latents are 18 numbers"
    ):
        code_image.encode(codec, code_image.fit(codec, noise(8, 41, 1)))
