"""Codecs on a hub, with its real client against a server on 127.0.0.1."""

import json

import hub_server
import numpy as np
import pytest
import safetensors.numpy
from huggingface_hub import constants
from released_weights import autoencoder_kl, write_diffusers
from tiny_codec import images, tiny_codec

from pipeline import Codec, cli
from pipeline.codec import places
from pipeline.core.errors import CheckpointError, ConfigError
from pipeline.storage import hub as hubs

REPO = "stranger/codec"
WANTED = ["config.json", "model.safetensors"]


def put(hub, folder, repo=REPO, under=""):
    files = {f"{under}{each.name}": each.read_bytes() for each in folder.iterdir()}
    hub.repos.setdefault(repo, {}).update(files)


@pytest.fixture
def saved(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_codec("flat").save_pretrained(tmp_path / "saved")
    put(hub, tmp_path / "saved")
    return tmp_path / "saved"


def test_a_codec_on_a_hub_is_the_local_one(hub, saved):
    hub.repos[REPO]["pytorch_model.bin"] = b"a pickle"
    local, loaded = Codec.from_pretrained(saved), Codec.from_pretrained(REPO)
    assert loaded.fingerprint == local.fingerprint and loaded.config == local.config
    x = images(local)
    np.testing.assert_array_equal(loaded.encode(x).mode(), local.encode(x).mode())
    assert hub.downloaded() == WANTED
    Codec.from_pretrained(REPO, dtype="bfloat16")
    assert hub.downloaded() == WANTED  # the rest comes from the cache


def test_without_the_hub_the_cache_is_read(hub, saved, monkeypatch):
    loaded = Codec.from_pretrained(REPO, revision="v1")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert Codec.from_pretrained(f"{REPO}@v1").fingerprint == loaded.fingerprint
    with pytest.raises(ConfigError, match=r"127.0.0.1:9 is not reached, and the cache lacks"):
        Codec.from_pretrained("stranger/other")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert Codec.from_pretrained(REPO, revision="v1").fingerprint == loaded.fingerprint
    with pytest.raises(ConfigError, match="hf download stranger/other --local-dir codec"):
        Codec.from_pretrained("stranger/other")


def test_a_folder_of_diffusers_is_imported_in_memory(hub, tmp_path, capsys):
    folder = write_diffusers(tmp_path / "in", autoencoder_kl())
    put(hub, folder, under="vae/")
    hub.repos[REPO] |= {"model_index.json": b"{}", "vae/diffusion_pytorch_model.bin": b"a pickle"}
    local = Codec.from_pretrained(folder)
    loaded = Codec.from_pretrained(REPO, subfolder="vae", dtype="bfloat16")
    assert loaded.fingerprint == local.fingerprint and loaded.config["dtype"] == "bfloat16"
    assert local.config["imported_from"] == "diffusers: in"
    assert loaded.config["imported_from"] == "diffusers: vae"
    assert hub.downloaded() == ["vae/config.json", "vae/diffusion_pytorch_model.safetensors"]
    with pytest.raises(CheckpointError, match=f"no config.json; .* in a folder, {REPO}/vae"):
        Codec.from_pretrained(REPO)
    capsys.readouterr()
    assert cli.dispatch(["inspect", "--codec", f"{REPO}/vae", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "autoencoder.Autoencoder"


def test_shards_are_downloaded_by_their_index(hub, tmp_path):
    put(hub, write_diffusers(tmp_path / "in", autoencoder_kl()))
    files, stem = hub.repos[REPO], "diffusion_pytorch_model"
    tensors = safetensors.numpy.load(files.pop(f"{stem}.safetensors"))
    halves = {f"{stem}-0000{half + 1}-of-00002.safetensors": half for half in (0, 1)}
    names = {name: [*tensors][half::2] for name, half in halves.items()}
    for name, own in names.items():
        files[name] = safetensors.numpy.save({each: tensors[each] for each in own})
    index = {"weight_map": {each: name for name, own in names.items() for each in own}}
    files[f"{stem}.safetensors.index.json"] = json.dumps(index).encode()
    loaded = Codec.from_pretrained(REPO)
    assert loaded.fingerprint == Codec.from_pretrained(tmp_path / "in").fingerprint
    index["weight_map"]["encoder.conv_in.bias"] = "other.safetensors"
    files[f"{stem}.safetensors.index.json"] = json.dumps(index).encode()
    with pytest.raises(CheckpointError, match=r"index.json names 'other.safetensors', which is"):
        Codec.from_pretrained(REPO)


def test_pickles_are_not_downloaded(hub, tmp_path):
    put(hub, write_diffusers(tmp_path / "in", autoencoder_kl()))
    weights = hub.repos[REPO].pop("diffusion_pytorch_model.safetensors")
    hub.repos[REPO]["diffusion_pytorch_model.bin"] = weights
    with pytest.raises(CheckpointError, match=r"has no diffusion_pytorch_model\.safetensors, and"):
        Codec.from_pretrained(REPO)
    assert hub.downloaded() == ["config.json"]


def test_gated_and_private_repositories(hub, saved):
    hub.gated.add(REPO)
    with pytest.raises(ConfigError, match=f"accept the conditions on {hub.address}/{REPO}, then"):
        Codec.from_pretrained(REPO)
    hub.private.add(REPO)
    with pytest.raises(ConfigError, match=r"no such repository on .*private: .*HF_TOKEN"):
        Codec.from_pretrained(REPO)
    with pytest.raises(ConfigError, match="a token with permission is needed"):
        Codec.from_pretrained(REPO, token="hf_wrong")
    assert Codec.from_pretrained(REPO, token=hub_server.TOKEN).fingerprint


def test_what_is_not_there(hub, saved, capsys):
    with pytest.raises(ConfigError, match=r"codec nobody/none: there is no such folder here"):
        Codec.from_pretrained("nobody/none")
    with pytest.raises(ConfigError, match="has no revision 'v9'"):
        Codec.from_pretrained(REPO, revision="v9")
    with pytest.raises(ConfigError, match="has no folder 'unet'"):
        Codec.from_pretrained(REPO, subfolder="unet")
    with pytest.raises(ConfigError, match=r"subfolder='\.\./x' leads out of it"):
        Codec.from_pretrained(REPO, subfolder="../x")
    with pytest.raises(ConfigError, match="revision='v1' is for OWNER/NAME on a hub"):
        Codec.from_pretrained(saved, revision="v1")
    assert cli.dispatch(["encode", "--codec", "nobody/none", "--out", "o", "x.png"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("strata encode: codec nobody/none: there is no such folder here")


@pytest.mark.parametrize(
    "entry, words",
    [
        ({"type": "file", "path": "../../.ssh/config", "size": 1, "oid": "0"}, "no name inside"),
        ({"type": "file", "path": "/etc/passwd", "size": 1, "oid": "0"}, "no name inside"),
        ({"type": "file", "path": "a\\..\\b", "size": 1, "oid": "0"}, "no name inside"),
    ],
)
def test_hostile_listings_are_refused(hub, saved, entry, words):
    hub.listed[REPO] = [entry]
    with pytest.raises(ConfigError, match=words):
        Codec.from_pretrained(REPO)
    assert not hub.downloaded()


@pytest.mark.parametrize("name", WANTED)
def test_links_in_listings_are_no_files(hub, saved, name):
    del hub.repos[REPO][name]
    hub.listed[REPO] = [{"type": "symlink", "path": name, "oid": "0"}]
    with pytest.raises(CheckpointError, match=f"it has no {name}"):
        Codec.from_pretrained(REPO)
    assert name not in hub.downloaded()


def test_a_huge_config_is_not_downloaded(hub, saved, monkeypatch):
    monkeypatch.setattr(places, "_MOST_CONFIG", 10)
    with pytest.raises(CheckpointError, match="bytes, too many for"):
        Codec.from_pretrained(REPO)
    assert not hub.downloaded()


def test_names_of_places():
    assert hubs.parse("a/b") == hubs.Place("a/b")
    assert hubs.parse("a-1/b.c@v1.0/x/y") == hubs.Place("a-1/b.c", "v1.0", "x/y")
    for text in ("a", "a/", "/a/b", "./a", "../a/b", "a/../b", "a//b", "a b/c", "a/b@", "ä/b"):
        assert hubs.parse(text) is None, text


def test_what_is_pushed_is_what_comes_back(hub, tmp_path):
    codec = tiny_codec("flat")
    assert codec.push_to_hub("me/new", token=hub_server.TOKEN) == f"{hub.address}/me/new"
    assert sorted(hub.repos["me/new"]) == ["README.md", *WANTED] and "me/new" not in hub.private
    assert hub.commits["me/new"] == ["Upload a codec with strata"]
    loaded = Codec.from_pretrained("me/new")
    for name, array in codec.weights.items():
        np.testing.assert_array_equal(array, loaded.weights[name])
    codec.push_to_hub("me/hidden", private=True, token=hub_server.TOKEN, message="first")
    assert "me/hidden" in hub.private and hub.commits["me/hidden"] == ["first"]


def test_a_push_that_cannot_be(hub):
    codec = tiny_codec("flat")
    with pytest.raises(ConfigError, match=r"token with permission is needed .*hf auth login"):
        codec.push_to_hub("me/new")
    for name in ("new", "me/new/sub", "me/new@v1", "../me/new"):
        with pytest.raises(ConfigError, match=r"is no OWNER/NAME of a repository"):
            codec.push_to_hub(name, token=hub_server.TOKEN)
    assert not hub.repos


@pytest.fixture
def large_files(hub, monkeypatch):
    """Keep weights in the large file storage, which the client reaches by the LFS API."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    hub.large = (".safetensors",)
    return hub


def test_weights_go_to_the_large_file_storage_and_come_back(large_files):
    hub, codec = large_files, tiny_codec("flat")
    codec.push_to_hub("me/new", token=hub_server.TOKEN)
    (oid,) = hub.objects
    stored = ["POST /me/new.git/info/lfs/objects/batch", f"PUT /lfs/{oid}"]
    stored += [f"POST /lfs/{oid}/verify", "POST /api/models/me/new/commit/main"]
    assert [each for each in hub.requests if each in stored] == stored, "verified, then committed"
    hub.objects.clear()  # it comes from the storage of the repository
    hub.requests.clear()
    loaded = Codec.from_pretrained("me/new")
    for name, array in codec.weights.items():
        np.testing.assert_array_equal(array, loaded.weights[name])
    assert hub.downloaded() == ["config.json"] and f"GET /lfs/{oid}" in hub.requests
    codec.push_to_hub("me/again", token=hub_server.TOKEN)
    assert f"PUT /lfs/{oid}" not in hub.requests, "the storage has it"
    assert Codec.from_pretrained("me/again").fingerprint == loaded.fingerprint


def test_an_object_that_the_storage_does_not_take(large_files):
    large_files.full = "the quota of me is used up"
    with pytest.raises(ConfigError, match=r"me/new: http.*quota of me is used up") as raised:
        tiny_codec("flat").push_to_hub("me/new", token=hub_server.TOKEN)
    assert "\n" not in str(raised.value) and not large_files.repos["me/new"]
