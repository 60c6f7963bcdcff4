"""`strata data pack`: shards return what was packed, and damage is detected."""

import contextlib
import json
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from pipeline.cli import dispatch
from pipeline.core.errors import ConfigError, DataError
from pipeline.data.images.image_data import ImageData
from pipeline.data.packing.pack import pack
from pipeline.data.records.manifest import fingerprint_of
from pipeline.data.records.writer import new_folder
from pipeline.data.sources.folder import Folder
from pipeline.data.sources.records import Records
from pipeline.storage import processes, transfer


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(14):
        (tmp_path / f"images/{'cat' if i % 3 else 'dog'}").mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/{'cat' if i % 3 else 'dog'}/{i:02d}.png")
    return tmp_path / "images"


@pytest.mark.parametrize("raw", [False, True])
def test_packed_images_train_the_same_as_their_folder(folder, tmp_path, raw):
    manifest = pack(str(folder), str(tmp_path / "packed"), raw=raw, shard_bytes=1000)
    assert (
        manifest["num_examples"] == 14
        and manifest["classes"] == ["cat", "dog"]
        and len(manifest["shards"]) > 2
    )
    assert manifest["schema"] == {
        "encoding": "raw" if raw else "encoded",
        "shape": [8, 8, 3] if raw else None,
    }
    settings = {"image_size": 8, "flip": True, "bits": 6}
    files = ImageData("folder", str(folder), **settings)
    packed = ImageData("records", str(tmp_path / "packed"), **settings)
    assert packed.classes == ("cat", "dog")
    assert (
        pickle.loads(pickle.dumps(Records(str(tmp_path / "packed"))))[3].label == 0
    )  # as sent to a worker
    with files.train(5, 1) as left, packed.train(5, 1) as right:
        for _ in range(6):
            a, b = next(left), next(right)
            assert all((a[key] == b[key]).all() for key in a)
    (a,), (b,) = files.evaluate(4), packed.evaluate(4)
    assert all((a[key] == b[key]).all() for key in a)


def test_bytes_of_files_are_kept_and_fingerprints_follow_content(folder, tmp_path):
    first = pack(str(folder), str(tmp_path / "a"))
    source, records = Folder(str(folder)), Records(str(tmp_path / "a"))
    assert all(source[i].data == records[i].data for i in range(len(source)))
    assert pack(str(folder), str(tmp_path / "b"))["fingerprint"] == first["fingerprint"]
    Image.new("RGB", (8, 8)).save(folder / "dog/00.png")
    assert pack(str(folder), str(tmp_path / "c"))["fingerprint"] != first["fingerprint"]


def test_large_images_are_shrunk_to_their_shorter_side(tmp_path):
    (tmp_path / "in").mkdir()
    Image.effect_noise((60, 40), 30).convert("RGB").save(tmp_path / "in/large.jpg")
    Image.effect_noise((18, 12), 30).convert("RGB").save(tmp_path / "in/small.jpg")
    pack(str(tmp_path / "in"), str(tmp_path / "raw"), image_size=20, raw=True)
    records = Records(str(tmp_path / "raw"))
    assert records.shape is None  # not all of one shape
    assert [record.data.shape for record in (records[0], records[1])] == [(20, 30, 3), (12, 18, 3)]
    pack(str(tmp_path / "in"), str(tmp_path / "files"), image_size=20)
    data = ImageData("records", str(tmp_path / "files"), image_size=12, eval_fraction=0)
    assert next(data.train(2, 0))["image"].shape == (2, 12, 12, 3) and not data.unreadable


def test_arrays_are_packed_raw_with_labels(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (9, 6, 5), np.uint8)
    np.savez(tmp_path / "grey.npz", images=images, labels=np.arange(9))
    pack(str(tmp_path / "grey.npz"), str(tmp_path / "packed"))
    records = Records(str(tmp_path / "packed"))
    assert records.shape == (6, 5, 1)
    found, labels = records.gather(np.array([8, 2, 2]))
    np.testing.assert_array_equal(found[..., 0], images[[8, 2, 2]])
    assert labels.tolist() == [8, 2, 2] and records[3].label == 3


def test_the_command_names_files_that_it_leaves_out_and_refuses_to_overwrite(
    folder, tmp_path, capsys
):
    (folder / "cat/01.png").write_bytes(b"damaged")
    out = str(tmp_path / "packed")
    assert dispatch(["data", "pack", str(folder), "--out", out, "--json", "-"]) == 0
    shown = capsys.readouterr()
    manifest = json.loads(shown.out)
    assert (
        manifest["num_examples"] == 13 and "cat/01.png: not an image" in manifest["unreadable"][0]
    )
    assert "left out:" in shown.err and "13 images" in shown.err
    assert manifest == json.loads((tmp_path / "packed/manifest.json").read_text())
    assert dispatch(["data", "pack", str(folder), "--out", out]) == 2
    assert "exists" in capsys.readouterr().err
    assert dispatch(["data", "pack", str(folder), "--out", out + "2", "--max_unreadable=0"]) == 65
    assert "more than data.max_unreadable=0" in capsys.readouterr().err
    assert dispatch(["data", "pack", str(tmp_path / "none"), "--out", out + "2"]) == 65
    assert dispatch(["data", "pak"]) == 2
    assert "did you mean 'pack'" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["images", "packed"]  # nothing half done stays behind


def test_a_failed_write_leaves_nothing(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"packing into .* failed .* nothing is left"):
        pack(str(folder), str(tmp_path / "file/packed"))
    with pytest.raises(ConfigError, match="--shard_mb above 0"):
        pack(str(folder), str(tmp_path / "packed"), shard_bytes=0)


def test_a_damaged_record_is_skipped_and_named(folder, tmp_path):
    manifest = pack(str(folder), str(tmp_path / "packed"), raw=True)
    shard = tmp_path / "packed" / manifest["shards"][0]["file"]
    content = bytearray(shard.read_bytes())
    fifth = Records(str(tmp_path / "packed"))[5].data.tobytes()
    content[content.find(fifth) + 20] ^= 1
    shard.write_bytes(content)
    data = ImageData("records", str(tmp_path / "packed"), image_size=8, eval_fraction=0)
    batch = next(data.train(14, 0))
    assert 5 not in batch["index"] and len(data.unreadable) == 1
    assert f"{shard}[5]: damaged" in data.unreadable[0]


def test_bad_manifests_and_shards_are_reported(folder, tmp_path):
    manifest = pack(str(folder), str(tmp_path / "packed"))
    path, shard = tmp_path / "packed/manifest.json", tmp_path / "packed/images-00000.arrayrecord"

    def assert_error(message):
        with pytest.raises(DataError, match=message):
            Records(str(tmp_path / "packed"))

    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    assert_error(
        f"images-00000.arrayrecord has {len(whole) // 2} bytes where {len(whole)} were written"
    )
    shard.unlink()
    assert_error("images-00000.arrayrecord is missing")
    shard.write_bytes(whole)
    path.write_text(json.dumps({**manifest, "classes": ["dog", "cat"]}))
    assert_error("does not match its own fingerprint")
    path.write_text(json.dumps({**manifest, "version": 99}))
    assert_error("not version 1")
    path.write_text(json.dumps({**manifest, "format": []}))
    assert_error("not version 1 of strata-images")
    for changes in (
        {"schema": None},
        {"schema": {}},
        {"classes": 3},
        {"shards": [{"num_examples": 1}]},
    ):
        edited = manifest | {"num_examples": 1 if "shards" in changes else manifest["num_examples"]}
        edited |= changes
        path.write_text(json.dumps(edited | {"fingerprint": fingerprint_of(edited)}))
        assert_error("describes no shards as they are packed")
    for text in ("{", "[]", "{}", "[" * 100_000):
        path.write_text(text)
        assert_error("is not a manifest of packed images")
    path.unlink()
    assert_error("has no manifest.json: make it with `strata data pack")
    with pytest.raises(DataError, match="does not exist"):
        Records(str(tmp_path / "elsewhere"))


def test_a_set_packed_into_a_bucket_trains_the_same(folder, tmp_path, remote, capsys):
    out, local = f"{remote}/packed", str(tmp_path / "packed")
    command = ["data", "pack", str(folder), "--raw", "--out"]
    assert dispatch([*command, local]) == 0 and dispatch([*command, out, "--json", "-"]) == 0
    names = sorted(path.name for path in (remote / "packed").iterdir())
    assert names == sorted(os.listdir(local)) and names[-1] == "manifest.json"
    for name in names:
        assert (remote / "packed" / name).read_bytes() == (tmp_path / "packed" / name).read_bytes()
    settings = {"image_size": 8, "flip": True}
    here, there = (ImageData("records", path, **settings) for path in (local, out))
    assert there.fingerprint == here.fingerprint
    with here.train(5, 1) as left, there.train(5, 1) as right:
        a, b = next(left), next(right)
    assert all((a[key] == b[key]).all() for key in a)
    capsys.readouterr()
    assert dispatch([*command, out]) == 2
    assert f"{out} exists: choose another --out" in capsys.readouterr().err


def test_a_source_in_a_bucket_is_packed(folder, tmp_path, remote):
    for file in folder.rglob("*.png"):
        transfer.upload(file, remote / "images" / file.relative_to(folder))
    prints = []
    for source, out in ((folder, "here"), (f"{remote}/images", "there")):
        assert dispatch(["data", "pack", str(source), "--out", str(tmp_path / out)]) == 0
        prints.append(json.loads((tmp_path / out / "manifest.json").read_text())["fingerprint"])
    assert prints[0] == prints[1]
    assert dispatch(["data", "pack", f"{remote}/none", "--out", str(tmp_path / "none")]) == 65


def test_a_packing_into_a_bucket_that_was_stopped_starts_over(folder, remote, capsys, monkeypatch):
    (remote / "images-00007.arrayrecord").write_text("half")
    killed = processes.identity() | {"started": "0"}
    (remote / ".strata-owner/000001").write_text(json.dumps(killed))
    command = ["data", "pack", str(folder), "--out", str(remote)]
    assert dispatch(command) == 0
    assert "1 files of a packing that was stopped: they are deleted" in capsys.readouterr().err
    assert {path.name for path in remote.iterdir()} == {
        "images-00000.arrayrecord",
        "manifest.json",
    }
    other = remote / "other"
    (other / "thesis.tex").write_text("")
    assert dispatch([*command[:-1], str(other)]) == 2
    upload = transfer.upload

    def fail(local, remote):
        if remote.name == "manifest.json":
            raise OSError(5, "the bucket is gone", str(remote))
        upload(local, remote)

    monkeypatch.setattr(transfer, "upload", fail)
    assert dispatch([*command[:-1], f"{remote}/failed"]) == 65
    assert "failed: the bucket is gone" in capsys.readouterr().err
    assert not (remote / "failed").exists()


def test_two_processes_do_not_pack_into_a_bucket_at_once(remote):
    def write(folder, name, content):
        (folder.local / name).write_text(content)
        folder.keep(folder.local / name)

    with (
        pytest.raises(ConfigError, match="now belongs to another process"),
        contextlib.ExitStack() as s,
    ):
        older = s.enter_context(new_folder(str(remote)))
        write(older, "images-00000.arrayrecord", "older")
        with pytest.raises(ConfigError, match=f"in use by process {os.getpid()} on "):
            s.enter_context(new_folder(str(remote)))
        (remote / ".strata-owner/000001").write_text("{}")  # as if one had taken it over
        with pytest.raises(ConfigError, match="which took this process for dead"):
            write(older, "images-00001.arrayrecord", "older")
        (remote / ".strata-owner/000001").unlink()
        with new_folder(str(remote)) as newer:
            write(newer, "images-00000.arrayrecord", "newer")
            (newer.local / "manifest.json").write_text("newer")
        write(older, "images-00000.arrayrecord", "older")
    found = {path.name: path.read_text() for path in remote.iterdir()}
    assert found == {"images-00000.arrayrecord": "newer", "manifest.json": "newer"}


def test_a_damaged_shard_in_a_bucket_is_reported_before_training(folder, tmp_path, remote):
    manifest = pack(str(folder), str(remote / "packed"), raw=True)
    shard = remote / "packed" / manifest["shards"][0]["file"]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(bytes(content))
    with pytest.raises(DataError, match=f"^{shard} is not as it was packed"):
        Records(str(remote / "packed"))
    shard.write_bytes(bytes(content[:-1]))
    with pytest.raises(DataError, match=f"{shard} has {len(content) - 1} bytes where"):
        Records(str(remote / "packed"))
