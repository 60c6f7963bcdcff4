"""LTX-Video and LTX-2 agree with diffusers' on random weights, and go back to their folders.

The single files of the authors have the same tensors, and diffusers reads what we write.
"""

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")
diffusers = pytest.importorskip("diffusers", reason="parity with diffusers needs it: make parity")

import numpy as np  # noqa: E402
import safetensors.numpy  # noqa: E402
from diffusers.loaders import single_file_utils  # noqa: E402
from diffusers_models import create, imported  # noqa: E402
from published_settings import SETTINGS  # noqa: E402
from video_parity import (  # noqa: E402
    Pair,
    check_export,
    clip,
    close,
    decoded,
    from_torch,
    posterior_of,
    to_torch,
)

from pipeline import importers  # noqa: E402
from pipeline.exporters import single_file  # noqa: E402
from pipeline.importers import ltx as importer  # noqa: E402

pytestmark = pytest.mark.parity

LTX, LTX2 = "AutoencoderKLLTXVideo", "AutoencoderKLLTX2Video"
VERSIONS = {
    "0.9.0": (LTX, 0),
    "0.9.1": (LTX, 1),
    "0.9.5": (LTX, 2),
    "2.0": (LTX2, 0),
    "2.3": (LTX2, 1),
}
SIZE = 64  # two latents each way: LTX-2.0 mirrors the edges of frames


@pytest.fixture(scope="module", params=VERSIONS)
def both(request, tmp_path_factory):
    name, number = VERSIONS[request.param]
    settings = {k: v for k, v in SETTINGS[name][number].items() if k != "decode_timestep"}
    model = create(name, **settings)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "per_channel_scale" in key:  # the noise is drawn by other generators
                parameter.zero_()
        model.latents_std.copy_(1 + model.latents_std.abs())
    folder = tmp_path_factory.mktemp("ltx")
    codec = imported(model, folder)
    return Pair(model, folder, codec)


def frames_of(model, z):
    time = torch.zeros(len(z)) if model.config.timestep_conditioning else None
    with torch.no_grad():
        return from_torch(model.decode(to_torch(z), time).sample)


@pytest.mark.parametrize("frames", [1, 9])
def test_latents_and_frames_as_diffusers(both, frames):
    assert both.ours.config["codec"]["streaming"] == "B"
    x = clip(frames, SIZE, SIZE)
    mean, logvar = posterior_of(both.theirs, x)
    encoding = both.ours.encode(x)
    close(encoding.mean, mean)
    close(encoding.logvar, logvar)
    close(decoded(both.ours, mean), frames_of(both.theirs, mean))


def test_the_statistics_are_the_tensors(both):
    z = np.random.default_rng(0).normal(size=(1, 2, 2, 2, 8)).astype(np.float32)
    mean, std = (getattr(both.theirs, f"latents_{each}").numpy() for each in ("mean", "std"))
    np.testing.assert_allclose(both.ours.normalize(z), (z - mean) / std, rtol=1e-5, atol=1e-6)


def test_the_export_is_the_folder_again(both):
    check_export(both)


def test_the_single_file_is_the_authors_and_comes_back(both, tmp_path):
    (path,) = single_file.write(both.ours, tmp_path)
    again = importer.read([str(path)])
    expected = both.ours.config["model"]
    assert again.model["encoder"] == {
        key: value for key, value in expected["encoder"].items() if key in again.model["encoder"]
    }
    assert again.arrays.keys() == both.ours.weights.keys() == importers.shapes_of(expected).keys()
    for name, array in again.arrays.items():
        np.testing.assert_array_equal(array, both.ours.weights[name], err_msg=name)
    np.testing.assert_allclose(again.latents["mean"], both.theirs.latents_mean.numpy())


@pytest.mark.parametrize("both", ["0.9.0", "0.9.1", "2.0"], indirect=True)
def test_diffusers_finds_its_tensors_in_the_single_file(both, tmp_path):
    """It knows the later versions by their published widths, and 2.3 not at all."""
    (path,) = single_file.write(both.ours, tmp_path)
    tensors = safetensors.numpy.load_file(path)
    of_ltx2 = type(both.theirs).__name__ == LTX2
    convert = getattr(
        single_file_utils,
        "convert_ltx2_vae_to_diffusers" if of_ltx2 else "convert_ltx_vae_checkpoint_to_diffusers",
    )
    found = convert(dict(tensors))
    wanted = both.theirs.state_dict()
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        np.testing.assert_array_equal(found[name], tensor.numpy(), err_msg=name)


@pytest.mark.parametrize("both", ["0.9.0"], indirect=True)
def test_an_illegal_length_is_padded_and_cut_back(both):
    x = clip(7, SIZE, SIZE)
    with pytest.warns(UserWarning, match="7 frames are padded to 9"):
        encoding = both.ours.encode(x)
    assert both.ours.decode(encoding.mode(), size=encoding.size).shape == x.shape


@pytest.mark.parametrize("both", ["0.9.0", "2.3"], indirect=True)
def test_latents_in_chunks_are_exact_and_frames_are_not(both):
    x = clip(17, SIZE, SIZE)
    whole, parts = both.ours.encode(x).mode(), both.ours.encode(x, chunk=8).mode()
    np.testing.assert_allclose(parts, whole, atol=1e-5)
    np.testing.assert_allclose(both.ours.encode(x[:, :1]).mode(), whole[:, :1], atol=1e-5)
    frames, pieces = (
        np.asarray(both.ours.decode(whole, chunk=chunk)).astype(int) for chunk in (None, 1)
    )
    error = np.abs(frames - pieces)
    print(
        f"frames from single latents differ by {error.max()} of 255, {error.mean():.1f} on average"
    )
    assert error.max() > 20
