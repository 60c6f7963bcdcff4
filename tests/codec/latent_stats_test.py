import numpy as np
import pytest
from tiny_video_codec import tiny_codec

from pipeline.codec.latent_stats import measure
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


def test_no_examples_are_an_error():
    with pytest.raises(DataError, match="no examples"):
        measure(tiny_codec(), [])
