"""HunyuanVideo's codec agrees with diffusers' on random weights, where it is coded whole."""

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")
diffusers = pytest.importorskip("diffusers", reason="parity with diffusers needs it: make parity")

import numpy as np  # noqa: E402
from video_parity import check_export, clip, compare, latents_like, pair  # noqa: E402

pytestmark = pytest.mark.parity

SETTINGS = dict(
    block_out_channels=(8, 16, 32, 32), latent_channels=4, layers_per_block=1, norm_num_groups=4
)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    found = pair(diffusers.AutoencoderKLHunyuanVideo, SETTINGS, tmp_path_factory.mktemp("hy"))
    # diffusers cuts in time by default, which gives other latents.
    found.theirs.use_framewise_encoding = found.theirs.use_framewise_decoding = False
    return found


@pytest.mark.parametrize("frames", [1, 9])
def test_latents_and_frames_as_diffusers(both, frames):
    assert both.ours.config["codec"]["streaming"] == "C"
    compare(both, clip(frames, 16, 24))


def test_chunks_and_prefixes_differ_because_norms_see_all_frames(both):
    x = clip(9, 16, 24)
    x[:, 5:] /= 3  # a cut: later frames have other statistics
    whole = np.asarray(both.ours.encode(x).mean)
    chunked = np.asarray(both.ours.encode(x, chunk=4).mean)
    image = np.asarray(both.ours.encode(x[:, :1]).mean)
    for name, other in (("chunks of 4", chunked), ("the first frame alone", image)):
        difference = np.abs(other - whole[:, : other.shape[1]]) / whole.std()
        print(f"{name}: at most {difference.max():.2f}, {difference.mean():.2f} on average")
        assert difference.max() > 0.01
    z = latents_like(whole)
    frames, parts = (np.asarray(both.ours.decode(z, chunk=each)) for each in (None, 1))
    difference = np.abs(frames.astype(int) - parts)
    print(f"frames of single latents: {difference.max()}, {difference.mean():.1f} of 255")
    assert difference.max() > 10


def test_the_export_is_the_folder_again(both):
    check_export(both)
    z = np.ones((1, 1, 2, 2, 4), np.float32)
    np.testing.assert_allclose(both.ours.normalize(z), 0.476986 * z, rtol=1e-6)
