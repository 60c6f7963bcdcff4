"""AutoencoderKLMochi agrees with diffusers' on random weights, and goes back to its folder."""

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")
diffusers = pytest.importorskip("diffusers", reason="parity with diffusers needs it: make parity")

import numpy as np  # noqa: E402
from published_settings import SETTINGS  # noqa: E402
from video_parity import check_exact_streaming, check_export, clip, compare, pair  # noqa: E402

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    (settings,) = SETTINGS["AutoencoderKLMochi"]
    return pair(diffusers.AutoencoderKLMochi, settings, tmp_path_factory.mktemp("mochi"))


@pytest.mark.parametrize("frames", [1, 13])
def test_latents_and_frames_as_diffusers(both, frames):
    assert both.ours.config["codec"]["streaming"] == "A"
    compare(both, clip(frames, 16, 16))


def test_chunks_are_exact(both):
    check_exact_streaming(both.ours, clip(13, 16, 16))


def test_an_illegal_length_is_padded_and_cut_back(both):
    x = clip(9, 16, 16)
    with pytest.warns(UserWarning, match="9 frames are padded to 13"):
        encoding = both.ours.encode(x)
    assert both.ours.decode(encoding.mode(), size=encoding.size).shape == x.shape


def test_the_export_is_the_folder_again(both):
    check_export(both)
    z = np.ones((1, 1, 2, 2, 4), np.float32)
    mean, std = (np.asarray(both.theirs.config[f"latents_{each}"]) for each in ("mean", "std"))
    np.testing.assert_allclose(both.ours.normalize(z), (z - mean) / std, rtol=1e-6)
