"""AutoencoderKLMagvit agrees with diffusers' on random weights, and goes back to its folder."""

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")
diffusers = pytest.importorskip("diffusers", reason="parity with diffusers needs it: make parity")

import numpy as np  # noqa: E402
from video_parity import check_exact_streaming, check_export, clip, compare, pair  # noqa: E402

pytestmark = pytest.mark.parity

SETTINGS = dict(
    block_out_channels=(8, 16, 32, 32), latent_channels=4, layers_per_block=1, norm_num_groups=4
)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return pair(diffusers.AutoencoderKLMagvit, SETTINGS, tmp_path_factory.mktemp("magvit"))


@pytest.mark.parametrize("frames", [1, 9])
def test_latents_and_frames_as_diffusers(both, frames):
    assert both.ours.config["codec"]["streaming"] == "A"
    compare(both, clip(frames, 16, 24))


def test_chunks_are_exact(both):
    check_exact_streaming(both.ours, clip(9, 16, 24))


def test_an_illegal_length_is_padded_and_cut_back(both):
    x = clip(7, 16, 24)
    with pytest.warns(UserWarning, match="7 frames are padded to 9"):
        encoding = both.ours.encode(x)
    padded = np.concatenate([x, np.repeat(x[:, -1:], 2, axis=1)], axis=1)
    np.testing.assert_array_equal(encoding.mean, both.ours.encode(padded).mean)
    assert both.ours.decode(encoding.mode(), size=encoding.size).shape == x.shape


def test_the_export_is_the_folder_again(both):
    check_export(both)
    z = np.ones((1, 1, 2, 2, 4), np.float32)
    np.testing.assert_allclose(both.ours.normalize(z), 0.7125 * z, rtol=1e-6)
