import numpy as np
import pytest
from tiny_video_codec import tiny_codec

from pipeline import Codec
from pipeline.codec.any_size import AnySizeCodec
from pipeline.codec.latent_stats import measure
from pipeline.codec.scaling import frames_of
from pipeline.core.errors import DataError


def test_statistics_are_those_of_all_latents_at_once():
    codec = tiny_codec()
    clips = np.random.default_rng(0).integers(0, 256, (3, 5, 16, 16, 3), np.uint8)
    found = measure(codec, [clips[:2], clips[2:]])
    z = np.concatenate([codec.encode(part).mode() for part in (clips[:2], clips[2:])])
    np.testing.assert_allclose(found["mean"], z.mean(axis=(0, 1, 2, 3)), atol=1e-5)
    np.testing.assert_allclose(found["std"], z.std(axis=(0, 1, 2, 3)), atol=1e-5)
    np.testing.assert_allclose([found["shift"], 1 / found["scale"]], [z.mean(), z.std()], atol=1e-5)
    assert found["num_examples"] == 3 and found["num_latents"] == z[..., 0].size


def test_statistics_of_each_latent_frame_normalize_each_frame(tmp_path):
    """This also covers codec/scaling.py."""
    codec = tiny_codec()
    clips = np.random.default_rng(0).integers(0, 256, (3, 5, 16, 16, 3), np.uint8)
    z = np.asarray(codec.encode(clips).mode())
    found = measure(codec, [clips[:2], clips[2:]], per_frame=True)
    np.testing.assert_allclose(found["mean"], z.mean(axis=(0, 2, 3)), atol=1e-5)
    assert found["num_latents"] == z[..., 0].size and frames_of(found) == 2
    given = AnySizeCodec(codec.modeldef, codec.weights, codec.config | {"latents": found})
    given.save_pretrained(tmp_path)
    assert "first 2 latent frames" in (tmp_path / "README.md").read_text()
    codec = Codec.from_pretrained(tmp_path)
    normal = codec.normalize(z)
    np.testing.assert_allclose(normal.mean(axis=(0, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(normal.std(axis=(0, 2, 3)), 1, atol=1e-4)
    np.testing.assert_allclose(codec.denormalize(normal), z, atol=1e-5)
    # A part of a clip, an example without a batch, and frames beyond those with statistics.
    np.testing.assert_array_equal(codec.normalize(z[0, 1:], first_frame=1), normal[0, 1:])
    np.testing.assert_array_equal(codec.normalize(z[:, 1:], first_frame=7), normal[:, 1:])
    with pytest.raises(DataError, match="each latent frame"):
        codec.normalize(z[0, 0])


def test_no_examples_are_an_error():
    with pytest.raises(DataError, match="no examples"):
        measure(tiny_codec(), [])
