"""A stranger's codec folder runs no code, takes no memory and no time: one line says why."""

import json
import os
import resource
import struct
import time

import pytest
import safetensors.numpy
from released_weights import autoencoder_kl, write_diffusers
from tiny_codec import HIERARCHY, tiny_codec

from pipeline import Codec, cli, models
from pipeline.core.errors import CheckpointError, DataError, StrataError

MOST_MORE = 300 * 2**20  # bytes that a refusal may add to this process's peak
MOST_SECONDS = 20  # with tracing of legal parts on busy cores


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    tiny_codec("flat").save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def folder(saved, tmp_path):
    for name, content in saved.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def refused(folder, words, kind=CheckpointError):
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(kind, match=words) as error:
        Codec.from_pretrained(folder)
    assert "\n" not in str(error.value) and len(str(error.value)) < 1_000
    assert 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < MOST_MORE
    assert time.monotonic() - began < MOST_SECONDS


def with_model(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["model"] |= changes
    path.write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "vae.find",  # imported by the module
        "vae.jax",
        "vae.construct",
        "vae.nnx.Linear",
        "autoencoder.Autoencoder.__init__",
        "..core.construct.find",
        "__init__.create",
        "os.system",
        "vae.Any",
    ],
)
def test_names_lead_to_nothing_but_models(folder, name):
    refused(with_model(folder, name=name), "its model cannot be built: model.name=")


def test_a_part_s_name_leads_to_its_own_package_alone(folder):
    prior = {"name": "standard.jax"}
    refused(with_model(folder, prior=prior), "its model cannot be built: model.prior.name=")


@pytest.mark.parametrize(
    "changes, words",
    [
        (dict(hidden=[10**12]), "model: hidden is 1,000,000,000,000, and 8,192 is the most"),
        (dict(image_size=2**31), "model: image_size is"),
        (dict(channels=[4] * 100_000), "model: channels has 100,000 items"),
        (dict(hidden=[8_000] * 8), "asks for a larger model than its weights"),
        (dict(hidden=[8] * 4_000), "asks for a larger model than its weights"),
        (dict(latent_dim=8_000), "does not fit the model in config.json"),
        (
            dict(flow=dict(name="autoregressive.IAF", depth=2_000)),
            "asks for a larger model than its weights",
        ),
        (HIERARCHY | dict(dec_blocks="1x1,8x1000000000"), "with numbers that add to more"),
        (HIERARCHY | dict(enc_blocks="8x5000,8d2,4x1,4d4,1x1"), "a larger model than its weights"),
    ],
)
def test_sizes_beyond_the_weights_are_refused_before_they_cost(folder, changes, words):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["model"] = changes if "name" in changes else config["model"] | changes
    path.write_text(json.dumps(config))
    refused(folder, words)


def test_a_model_is_not_traced_for_settings_beyond_the_limits(folder, monkeypatch):
    monkeypatch.setattr(models, "create", lambda *_, **__: pytest.fail("it was built"))
    refused(with_model(folder, hidden=[10**9]), "8,192 is the most")


def test_weights_are_not_read_that_do_not_fit(folder, monkeypatch):
    monkeypatch.setattr(
        safetensors, "safe_open", lambda *_, **__: pytest.fail("the weights were read")
    )
    refused(with_model(folder, hidden=[17]), "does not fit the model")
    text = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}})
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text.encode())
    refused(folder, "tensors have 4,398,046,511,104 bytes, and its data 0")


def test_files_that_are_no_files_of_the_folder(folder, tmp_path_factory, saved):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("model.safetensors", "config.json"):
        (elsewhere / name).write_bytes(saved[name])
        (folder / name).unlink()
        (folder / name).symlink_to(elsewhere / name)
        refused(folder, f"{name} is a link out of the folder")
        (folder / name).unlink()
        os.mkfifo(folder / name)
        refused(folder, f"{name} is no plain file")
        (folder / name).unlink()
        (folder / name).symlink_to("nothing")
        refused(folder, f"{name} is a broken link")
        (folder / name).unlink()
        (folder / f"other-{name}").write_bytes(saved[name])
        (folder / name).symlink_to(f"other-{name}")
        Codec.from_pretrained(folder)  # it stays inside


def test_a_huge_config_is_not_parsed(folder):
    (folder / "config.json").write_bytes(b" " * (5 * 2**20))
    refused(folder, "has 5,242,880 bytes, too many for settings")


@pytest.mark.parametrize(
    "changes, words",
    [
        (dict(layers_per_block=10**12), "layers_per_block is 1,000,000,000,000"),
        (dict(layers_per_block=4_000), "asks for a larger model than its weights"),
        (dict(block_out_channels=[4_096] * 12), "asks for a larger model than its weights"),
        (dict(down_block_types=["DownEncoderBlock2D"] * 10**5), "has 100,000 items"),
        (dict(_class_name="os.system"), "is not a codec that we know"),
    ],
)
def test_hostile_folders_of_diffusers(tmp_path, changes, words):
    folder = write_diffusers(tmp_path / "in", autoencoder_kl())
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    refused(folder, words, StrataError)


def test_a_pickle_that_would_run_code_does_not(tmp_path, capsys):
    folder = write_diffusers(tmp_path / "in", autoencoder_kl())
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    code = f"cos\nsystem\n(S'touch {tmp_path / 'ran'}'\ntR."
    (folder / "diffusion_pytorch_model.bin").write_text(code)
    refused(folder, "os.system|posix.system", DataError)
    assert not (tmp_path / "ran").exists()
    assert cli.dispatch(["inspect", "--codec", str(folder)]) == DataError.exit_code
    assert len(capsys.readouterr().err.splitlines()) == 1
