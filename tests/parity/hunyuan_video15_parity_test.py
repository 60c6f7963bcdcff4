"""HunyuanVideo 1.5's codec agrees with diffusers' on random weights, and streams exactly."""

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")
diffusers = pytest.importorskip("diffusers", reason="parity with diffusers needs it: make parity")

import numpy as np  # noqa: E402
from video_parity import check_exact_streaming, check_export, clip, compare, pair  # noqa: E402

pytestmark = pytest.mark.parity

SETTINGS = dict(block_out_channels=(16, 32, 64, 128, 128), latent_channels=8, layers_per_block=1)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return pair(diffusers.AutoencoderKLHunyuanVideo15, SETTINGS, tmp_path_factory.mktemp("hy15"))


@pytest.mark.parametrize("frames", [1, 9])
def test_latents_and_frames_as_diffusers(both, frames):
    assert both.ours.config["codec"]["streaming"] == "A"
    compare(both, clip(frames, 32, 48))


def test_chunks_are_exact_with_attention_over_all_frames(both):
    check_exact_streaming(both.ours, clip(9, 32, 48))


def test_an_illegal_length_is_padded_and_cut_back(both):
    x = clip(7, 32, 48)
    with pytest.warns(UserWarning, match="7 frames are padded to 9"):
        encoding = both.ours.encode(x)
    padded = np.concatenate([x, np.repeat(x[:, -1:], 2, axis=1)], axis=1)
    np.testing.assert_array_equal(encoding.mean, both.ours.encode(padded).mean)


def test_the_export_is_the_folder_again(both):
    check_export(both)
    z = np.ones((1, 1, 2, 2, 8), np.float32)
    np.testing.assert_allclose(both.ours.normalize(z), 1.03682 * z, rtol=1e-6)
