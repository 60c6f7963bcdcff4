"""AutoencoderKLCosmos agrees with diffusers' on random weights, and goes back to its folder."""

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")
diffusers = pytest.importorskip("diffusers", reason="parity with diffusers needs it: make parity")

import numpy as np  # noqa: E402
import published_settings  # noqa: E402
from video_parity import (  # noqa: E402
    check_exact_streaming,
    check_export,
    clip,
    close,
    decoded,
    frames_of,
    from_torch,
    latents_like,
    pair,
    to_torch,
)

pytestmark = pytest.mark.parity

STATISTICS = np.random.default_rng(0).uniform(0.5, 1.5, (2, 4, 3))  # mean and std, channels, frames
SETTINGS = dict(
    latent_channels=4,
    encoder_block_out_channels=(8, 8, 16, 16),
    decode_block_out_channels=(8, 16, 16, 16),
    attention_resolutions=[8],
    resolution=64,
    num_layers=1,
    latents_mean=STATISTICS[0].ravel().tolist(),
    latents_std=STATISTICS[1].ravel().tolist(),
)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return pair(diffusers.AutoencoderKLCosmos, SETTINGS, tmp_path_factory.mktemp("cosmos"))


@pytest.mark.parametrize("frames", [1, 17])
def test_latents_and_frames_as_diffusers(both, frames):
    assert both.ours.config["codec"]["streaming"] == "A"
    x = clip(frames, 16, 16)
    with torch.no_grad():
        mean = from_torch(both.theirs.encode(to_torch(x)).latent_dist.mode())
    close(both.ours.encode(x).mode(), mean)
    close(decoded(both.ours, mean), frames_of(both.theirs, mean))


@pytest.mark.parametrize("number", [2, 3], ids=["as CV4x8x8", "as CV8x16x16"])
def test_other_compressions_as_diffusers(number, tmp_path):
    settings = published_settings.SETTINGS["AutoencoderKLCosmos"][number]
    both = pair(diffusers.AutoencoderKLCosmos, settings, tmp_path)
    x = clip(9, 16, 16)
    with torch.no_grad():
        mean = from_torch(both.theirs.encode(to_torch(x)).latent_dist.mode())
    close(both.ours.encode(x).mode(), mean)
    z = latents_like(mean)
    close(decoded(both.ours, z), frames_of(both.theirs, z))
    check_export(both)


def test_chunks_are_exact(both):
    check_exact_streaming(both.ours, clip(17, 16, 16))


def test_an_illegal_length_is_padded_and_cut_back(both):
    x = clip(12, 16, 16)
    with pytest.warns(UserWarning, match="12 frames are padded to 17"):
        encoding = both.ours.encode(x)
    assert both.ours.decode(encoding.mode(), size=encoding.size).shape == x.shape


def test_latents_are_normalized_frame_by_frame(both):
    """As diffusers' pipeline does, which takes the first frames of [channels frames]."""
    z = np.random.default_rng(1).normal(size=(1, 2, 2, 2, 4)).astype(np.float32)
    mean, std = (each.T[:2, None, None] for each in STATISTICS)
    np.testing.assert_allclose(both.ours.normalize(z), (z - mean) / std, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(both.ours.denormalize(both.ours.normalize(z)), z, atol=1e-5)


def test_the_export_is_the_folder_again(both):
    check_export(both)
