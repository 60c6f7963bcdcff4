"""AutoencoderVidTok agrees with diffusers' on random weights, and goes back to its folder.

Clips get 3 copies of their first frame in front, which the authors' training gives them; diffusers'
`encode` leaves them to its caller.
"""

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")
diffusers = pytest.importorskip("diffusers", reason="parity with diffusers needs it: make parity")

import numpy as np  # noqa: E402
from published_settings import VIDTOK_FSQ, VIDTOK_KL  # noqa: E402
from video_parity import (  # noqa: E402
    check_export,
    clip,
    close,
    decoded,
    from_torch,
    pair,
    posterior_of,
    to_torch,
)

pytestmark = pytest.mark.parity


def padded(x):
    return np.concatenate([*[x[:, :1]] * 3, x], axis=1)


@pytest.fixture(scope="module")
def kl(tmp_path_factory):
    return pair(diffusers.AutoencoderVidTok, VIDTOK_KL, tmp_path_factory.mktemp("vidtok"))


def test_latents_and_frames_as_diffusers(kl):
    assert kl.ours.config["codec"]["streaming"] == "B"
    x = clip(9, 16, 16)
    mean, logvar = posterior_of(kl.theirs, padded(x))
    encoding = kl.ours.encode(x)
    assert mean.shape[1] == 3
    close(encoding.mean, mean)
    close(encoding.logvar, logvar)
    with torch.no_grad():
        frames = from_torch(kl.theirs.decode(to_torch(mean)))
    close(decoded(kl.ours, mean), frames)
    # The encoder is causal: chunks give the latents of the whole, and the first one is an image's.
    np.testing.assert_allclose(kl.ours.encode(x, chunk=4).mean, encoding.mean, atol=1e-5)
    image = kl.ours.encode(x[:, :1]).mean
    np.testing.assert_allclose(image, np.asarray(encoding.mean)[:, :1], atol=1e-5)


def test_the_export_is_the_folder_again(kl):
    check_export(kl)


def test_codes_as_diffusers(tmp_path):
    both = pair(diffusers.AutoencoderVidTok, VIDTOK_FSQ, tmp_path)
    x = clip(5, 16, 16)
    with torch.no_grad():
        h = both.theirs.encoder(to_torch(padded(x)))
        codes, indices = both.theirs.regularization(h)
    encoding = both.ours.encode(x)
    np.testing.assert_array_equal(encoding.indices(), indices.numpy())
    np.testing.assert_allclose(encoding.mode(), from_torch(codes), atol=1e-6)
    assert len(np.unique(indices)) > 2
