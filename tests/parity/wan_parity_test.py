"""Wan 2.1, Wan 2.2 and Qwen-Image agree with diffusers' classes on random weights, stream frame by
frame, and go back to the folders and the authors' names that they came from.
"""

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")
diffusers = pytest.importorskip("diffusers", reason="parity with diffusers needs it: make parity")

import jax  # noqa: E402
import numpy as np  # noqa: E402
import safetensors.numpy  # noqa: E402
from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers  # noqa: E402
from video_parity import (  # noqa: E402
    check_export,
    clip,
    close,
    frames_of,
    pair,
    posterior_of,
)

from pipeline.exporters import single_file  # noqa: E402
from pipeline.importers import wan as wan_importer  # noqa: E402
from pipeline.nn.cache import CausalCache  # noqa: E402

pytestmark = pytest.mark.parity

SMALL = dict(
    base_dim=4,
    z_dim=4,
    num_res_blocks=1,
    latents_mean=[0.1, 0.0, -0.2, 0.3],
    latents_std=[1.0, 2.0, 0.5, 1.5],
)
FORMS = {
    "2.1": (diffusers.AutoencoderKLWan, SMALL),
    "2.2": (
        diffusers.AutoencoderKLWan,
        SMALL
        | dict(decoder_base_dim=8, is_residual=True, in_channels=12, out_channels=12)
        | dict(patch_size=2, scale_factor_spatial=16, latents_mean=[0.5] * 4),
    ),
}
SIZE = {"2.1": (16, 24), "2.2": (32, 48)}


class Streams:
    """The programs of one codec, each compiled once: the whole clip, a first chunk, a next one."""

    def __init__(self, codec):
        model = codec.modeldef.merge(codec.weights, codec.weights)

        def encode(x, given=None):
            cache = CausalCache(given)
            (latent,) = model.encode(x, cache=cache)
            return (latent.mean, latent.logvar), cache.arrays()

        def decode(z, given=None):
            cache = CausalCache(given)
            return model.decode((z,), cache=cache).mean(), cache.arrays()

        self.encode, self.decode = jax.jit(encode), jax.jit(decode)

    def encoded(self, x):
        """Encode frame 0, then 4 frames at a time."""
        parts, cache = [], None
        for start, end in [(0, 1)] + [(t, t + 4) for t in range(1, x.shape[1], 4)]:
            part, cache = self.encode(x[:, start:end], cache)
            parts.append(part)
        return [np.concatenate(each, axis=1) for each in zip(*parts)]

    def decoded(self, z):
        """Decode a latent at a time; frames as the authors clamp them."""
        parts, cache = [], None
        for t in range(z.shape[1]):
            part, cache = self.decode(z[:, t : t + 1], cache)
            parts.append(part)
        return np.clip(np.concatenate(parts, axis=1), -1, 1)


@pytest.fixture(scope="module", params=FORMS)
def form(request, tmp_path_factory):
    kind, settings = FORMS[request.param]
    both = pair(kind, settings, tmp_path_factory.mktemp("wan"))
    return both, Streams(both.ours), SIZE[request.param]


def test_every_length_as_diffusers_frame_by_frame(form):
    both, streams, size = form
    assert both.ours.config["codec"]["streaming"] == "A"
    assert both.ours.config["num_parameters"] == sum(
        parameter.numel() for parameter in both.theirs.parameters()
    )
    for frames in (1, 5, 13):
        x = clip(frames, *size)
        mean, logvar = posterior_of(both.theirs, x)
        ours = streams.encoded(x)
        close(ours[0], mean)
        close(ours[1], logvar)
        recon = frames_of(both.theirs, mean)
        assert (np.abs(recon) < 1).mean() > 0.5, "most is not clamped"
        close(streams.decoded(mean), recon)


def test_the_whole_clip_is_the_stream_and_frame_0_an_image(form):
    both, streams, size = form
    x = clip(9, *size)
    (mean, logvar), _ = streams.encode(x)
    by_chunk = streams.encoded(x)
    np.testing.assert_allclose(by_chunk[0], mean, atol=1e-5)
    np.testing.assert_allclose(by_chunk[1], logvar, atol=1e-5)
    # A stream has not seen what comes later: prefixes are stable, and frame 0 is an image's.
    whole = np.clip(streams.decode(mean)[0], -1, 1)
    np.testing.assert_allclose(streams.decoded(np.asarray(mean)), whole, atol=1e-5)
    close(mean, posterior_of(both.theirs, x)[0])
    close(whole, frames_of(both.theirs, np.asarray(mean)))


def test_the_export_is_the_folder_again(form):
    both, _, _ = form
    check_export(both)
    z = np.ones((1, 1, 1, 1, 4), np.float32)
    mean, std = (np.float32(both.theirs.config[key]) for key in ("latents_mean", "latents_std"))
    np.testing.assert_allclose(both.ours.normalize(z), (z - mean) / std, rtol=1e-6)


def test_the_authors_names_go_out_and_come_back(form, tmp_path):
    both, _, _ = form
    (file,) = single_file.write(both.ours, tmp_path)
    again = wan_importer.read([str(file)])
    assert dict(again.arrays).keys() == both.ours.weights.keys()
    for name, array in again.arrays.items():
        np.testing.assert_array_equal(array, both.ours.weights[name])
    assert again.model["encoder"] == both.ours.config["model"]["encoder"]


def test_diffusers_knows_the_authors_names(tmp_path):
    """Its converter knows Wan 2.1 with two blocks a level."""
    both = pair(diffusers.AutoencoderKLWan, SMALL | dict(num_res_blocks=2), tmp_path)
    (file,) = single_file.write(both.ours, tmp_path / "single")
    tensors = safetensors.numpy.load_file(file)
    expected = {name: tensor.numpy() for name, tensor in both.theirs.state_dict().items()}
    np.testing.assert_equal(convert_wan_vae_to_diffusers(tensors), expected)


def test_qwen_image_is_wan_2_1(tmp_path):
    both = pair(diffusers.AutoencoderKLQwenImage, SMALL, tmp_path)
    check_export(both)
    wan = diffusers.AutoencoderKLWan(**SMALL).eval()
    wan.load_state_dict(both.theirs.state_dict())
    x = clip(5, 16, 16)
    np.testing.assert_array_equal(posterior_of(wan, x)[0], posterior_of(both.theirs, x)[0])


def test_an_illegal_length_is_padded_with_a_remark(form):
    both, streams, size = form
    x = clip(7, *size)
    with pytest.warns(UserWarning, match="7 frames are padded to 9"):
        encoding = both.ours.encode(x)
    padded = np.concatenate([x, np.repeat(x[:, -1:], 2, axis=1)], axis=1)
    np.testing.assert_allclose(encoding.mean, streams.encode(padded)[0][0], atol=1e-5)
