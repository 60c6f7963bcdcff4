"""CogVideoX's codec agrees with diffusers' on random weights: it is coded in their windows."""

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")
diffusers = pytest.importorskip("diffusers", reason="parity with diffusers needs it: make parity")

import numpy as np  # noqa: E402
from video_parity import (  # noqa: E402
    check_export,
    clip,
    close,
    decoded,
    frames_of,
    latents_like,
    pair,
    posterior_of,
)

pytestmark = pytest.mark.parity

SETTINGS = dict(
    block_out_channels=(8, 16, 16, 32),
    latent_channels=4,
    layers_per_block=1,
    norm_num_groups=4,
    sample_height=64,
    sample_width=64,
)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return pair(diffusers.AutoencoderKLCogVideoX, SETTINGS, tmp_path_factory.mktemp("cogvideox"))


@pytest.mark.parametrize("frames", [1, 9, 25])
def test_latents_as_diffusers(both, frames):
    assert both.ours.config["codec"]["streaming"] == "D"
    assert both.ours.config["codec"]["windows"] == {"frames": 8, "stride": 8}
    x = clip(frames, 16, 24)
    mean, logvar = posterior_of(both.theirs, x)
    encoding = both.ours.encode(x, chunk=16 if frames > 9 else None)
    close(encoding.mean, mean)
    close(encoding.logvar, logvar)


@pytest.mark.parametrize("latents", [1, 4, 7])
def test_frames_as_diffusers(both, latents):
    """An even number of latents becomes four times as many frames, as theirs."""
    z = latents_like(np.zeros((1, latents, 2, 3, 4)))
    theirs = frames_of(both.theirs, z)
    assert theirs.shape[1] == (4 * latents if latents % 2 == 0 else 4 * latents - 3)
    close(decoded(both.ours, z), theirs)
    pixels = np.clip(np.round((theirs + 1) * 127.5), 0, 255)
    assert np.abs(np.asarray(both.ours.decode(z)).astype(int) - pixels).max() <= 1


def test_streams_and_the_whole_are_the_same(both):
    x = ((clip(17, 16, 24) + 1) * 127.5).astype(np.uint8)
    whole = np.asarray(both.ours.encode(x).mean)
    pieces = list(both.ours.encode_frames(x[0]))
    assert [len(piece) for piece in pieces] == [3, 2]
    np.testing.assert_array_equal(np.concatenate(pieces), whole[0])
    frames = np.stack(list(both.ours.decode_frames(pieces)))
    np.testing.assert_array_equal(frames, both.ours.decode(whole)[0])


def test_an_illegal_length_is_padded_and_cut_back(both):
    x = clip(13, 16, 24)
    with pytest.warns(UserWarning, match="13 frames are padded to 17 \\(1 \\+ 8k\\)"):
        encoding = both.ours.encode(x)
    assert encoding.mean.shape[1] == 5
    assert both.ours.decode(encoding.mode(), size=encoding.size).shape == x.shape


def test_the_export_is_the_folder_again(both):
    check_export(both)
    z = np.ones((1, 1, 2, 2, 4), np.float32)
    np.testing.assert_allclose(both.ours.normalize(z), 1.15258426 * z, rtol=1e-6)
