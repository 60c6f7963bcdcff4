"""A codec folder loads as it was written, or not at all with a line that says what is wrong."""

import json

import numpy as np
import pytest
import safetensors.numpy
import yaml
from tiny_codec import images, tiny_codec

from pipeline import Codec
from pipeline.core.errors import CheckpointError, ConfigError
from pipeline.storage import transfer


@pytest.fixture
def saved(tmp_path):
    tiny_codec("flat").save_pretrained(tmp_path / "codec")
    return tmp_path / "codec"


@pytest.mark.parametrize("kind", ["flat", "hierarchy"])
def test_what_is_written_is_read(kind, tmp_path):
    codec = tiny_codec(kind)
    codec.save_pretrained(tmp_path / "new" / "codec")
    loaded = Codec.from_pretrained(tmp_path / "new" / "codec")
    for name, array in codec.weights.items():
        np.testing.assert_array_equal(array, loaded.weights[name])
    np.testing.assert_array_equal(
        codec.reconstruct(images(codec)), loaded.reconstruct(images(codec))
    )
    assert loaded.fingerprint
    # Written again it is the same codec.
    loaded.save_pretrained(tmp_path / "again")
    assert Codec.from_pretrained(tmp_path / "again").fingerprint == loaded.fingerprint
    assert not list(tmp_path.rglob("*.partial"))


def test_the_card_says_how_to_use_it_and_what_it_is(saved):
    card = (saved / "README.md").read_text()
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "license": "mit",
        "library_name": "strata",
        "pipeline_tag": "image-to-image",
        "tags": ["strata", "jax", "vae", "image-reconstruction"],
        "datasets": ["digits", "no"],
        "metrics": ["psnr"],
    }
    count = sum(array.size for array in tiny_codec("flat").weights.values())
    for text in (
        "from_pretrained",
        "[8 8 1]",
        "21.50 dB",
        "16 held-out examples",
        "step 7",
        "grey images of 8x8",
    ):
        assert text in body
    assert f"{count:,} parameters" in body


def test_a_name_that_is_no_folder(tmp_path):
    with pytest.raises(
        ConfigError, match=r"codec google/some-vae: there is no such folder here, .* not reached"
    ):
        Codec.from_pretrained("google/some-vae")
    with pytest.raises(ConfigError, match=r"'\./vae' does not exist: a folder with config.json"):
        Codec.from_pretrained("./vae")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file: a folder"):
        Codec.from_pretrained(tmp_path / "file")
    with pytest.raises(ConfigError, match="codec None is no path"):
        Codec.from_pretrained(None)


def test_it_computes_in_the_type_that_is_asked_for(saved, tmp_path):
    codec = Codec.from_pretrained(saved)
    half = Codec.from_pretrained(saved, dtype="bfloat16")
    assert half.fingerprint == codec.fingerprint and half.config["dtype"] == "bfloat16"
    exact, rounded = (np.asarray(one.encode(images(codec)).mode()) for one in (codec, half))
    assert 0 < np.abs(exact - rounded).max() < 0.1 * np.abs(exact).max()
    half.save_pretrained(tmp_path / "half")
    again = Codec.from_pretrained(tmp_path / "half", dtype="float32")
    np.testing.assert_array_equal(again.encode(images(codec)).mode(), exact)
    with pytest.raises(ConfigError, match="dtype='float16' must be 'float32' or 'bfloat16'"):
        Codec.from_pretrained(saved, dtype="float16")


def changed(saved, **changes):
    path = saved / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rewritten(saved, change):
    path = saved / "model.safetensors"
    arrays = safetensors.numpy.load_file(path)
    change(arrays)
    path.write_bytes(safetensors.numpy.save(arrays))


def test_every_damage_is_told_in_a_line(saved, tmp_path):
    name = "encoder.posterior.kernel"
    weights = (saved / "model.safetensors").read_bytes()
    config = (saved / "config.json").read_text()

    def truncate():
        (saved / "model.safetensors").write_bytes(weights[:-100])

    def truncate_header():
        (saved / "model.safetensors").write_bytes(weights[:20])

    def flip():
        (saved / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))

    cases = [
        ((saved / "config.json").unlink, "is not a codec"),
        (lambda: (saved / "config.json").write_text("{"), "damaged"),
        (lambda: changed(saved, format="other"), "not that of a codec"),
        (lambda: changed(saved, format_version=99), "format_version 99, and this Strata reads 1"),
        (lambda: changed(saved, model={"name": "vae.VAF"}), "did you mean 'VAE'"),
        (lambda: changed(saved, dtype="float33"), "cannot be built"),
        ((saved / "model.safetensors").unlink, "not a whole codec"),
        (truncate, "truncated or damaged"),
        (truncate_header, "truncated or damaged"),
        (flip, "is damaged, or another export's"),
        (lambda: rewritten(saved, lambda arrays: arrays.pop(name)), f"1 missing ({name})"),
        (lambda: rewritten(saved, lambda arrays: arrays.update(x=arrays[name])), "1 unknown (x)"),
        (
            lambda: rewritten(saved, lambda arrays: arrays.update({name: arrays[name][:2]})),
            f"{name} is float32[2, 6]",
        ),
        (
            lambda: rewritten(
                saved, lambda arrays: arrays.update({name: arrays[name].astype(np.float16)})
            ),
            f"{name} is float16",
        ),
    ]
    for damage, said in cases:
        damage()
        with pytest.raises(CheckpointError) as error:
            Codec.from_pretrained(saved)
        assert said in str(error.value)
        assert "\n" not in str(error.value)
        (saved / "model.safetensors").write_bytes(weights)
        (saved / "config.json").write_text(config)
    Codec.from_pretrained(saved)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="codec folder"):
        tiny_codec("flat").save_pretrained(tmp_path / "file")


def test_a_codec_in_a_bucket_is_the_same(remote, saved):
    codec, folder = tiny_codec("flat"), remote / "codec"
    codec.save_pretrained(folder)
    names = ["README.md", "config.json", "model.safetensors"]
    assert [path.name for path in sorted(folder.iterdir())] == names
    for name in names:
        assert (folder / name).read_bytes() == (saved / name).read_bytes()
    local, loaded = Codec.from_pretrained(saved), Codec.from_pretrained(str(folder))
    assert loaded.fingerprint == local.fingerprint
    np.testing.assert_equal(
        {name: np.asarray(array) for name, array in loaded.weights.items()},
        {name: np.asarray(array) for name, array in local.weights.items()},
    )


def test_a_codec_that_is_half_uploaded_is_none(remote, saved, monkeypatch):
    folder, upload = remote / "codec", transfer.upload
    tiny_codec("hierarchy").save_pretrained(folder)
    Codec.from_pretrained(folder)

    def fail(local, remote):
        if remote.name == "README.md":
            raise OSError(5, "the bucket is gone", str(remote))
        upload(local, remote)

    monkeypatch.setattr(transfer, "upload", fail)
    with pytest.raises(ConfigError, match=r"codec folder .*README.md: the bucket is gone$"):
        tiny_codec("flat").save_pretrained(folder)
    with pytest.raises(CheckpointError, match=f"^{folder} is not a codec: it has no config.json"):
        Codec.from_pretrained(f"{folder}/")


@pytest.mark.parametrize(
    "path, message",
    [
        ("hf://owner/name", "codec hf://owner/name: hf:// is not supported"),
        ("gs://strata-test/none", "codec gs://strata-test/none: there is no such file or folder"),
        ("s3://no-bucket/codec", "there is no bucket s3://no-bucket"),
    ],
)
def test_a_remote_path_that_is_no_codec(bucket_servers, path, message):
    with pytest.raises(ConfigError, match=message):
        Codec.from_pretrained(path)
