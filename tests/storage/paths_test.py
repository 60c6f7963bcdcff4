"""Local paths and buckets behind one interface."""

import pathlib

import pytest
from bucket_servers import BUCKET

from pipeline.core.errors import ConfigError
from pipeline.storage.paths import as_path, is_remote, sizes

PLACES = ["local", "gs", "s3"]


@pytest.fixture(params=PLACES)
def folder(request, tmp_path, bucket_servers):
    if request.param == "local":
        return as_path(tmp_path)
    return as_path(f"{request.param}://{BUCKET}/{tmp_path.name}")


def test_files_are_written_read_listed_and_deleted_alike(folder):
    (folder / "a").mkdir(parents=True, exist_ok=True)
    (folder / "a/one.txt").write_text("1")
    (folder / "a/two.bin").write_bytes(b"22")
    (folder / "b.json").write_text("{}")
    assert (folder / "a/one.txt").read_text() == "1"
    assert (folder / "a/two.bin").read_bytes() == b"22"
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b.json"]
    assert (folder / "a").is_dir() and not (folder / "b.json").is_dir()
    assert (folder / "a").exists() and not (folder / "none").exists()
    assert sizes(folder) == {"a/one.txt": 1, "a/two.bin": 2, "b.json": 2}
    (folder / "a/one.txt").write_text("new")
    assert (folder / "a/one.txt").stat().length == 3
    (folder / "b.json").unlink()
    (folder / "b.json").unlink(missing_ok=True)
    (folder / "a").rmtree()
    assert not (folder / "a").exists() and not (folder / "b.json").exists()
    with pytest.raises(FileNotFoundError, match="No such file"):
        (folder / "none").read_text()


@pytest.mark.parametrize("content", [b"", b"\r", b"\r\n", b"\n\n", b"--", b"\n--==0==\n", b"\0"])
def test_every_content_arrives_byte_for_byte(folder, content):
    for name, whole in (("end", b"a" + content), ("start", content + b"a")):
        (folder / name).write_bytes(whole)
        assert (folder / name).read_bytes() == whole


def test_a_file_in_a_bucket_that_is_not_finished_is_not_there(bucket_servers, tmp_path):
    path = as_path(f"gs://{BUCKET}/{tmp_path.name}/half")
    with pytest.raises(ZeroDivisionError), path.open("w") as file:
        file.write("half")
        raise ZeroDivisionError
    assert not path.exists()


@pytest.mark.parametrize(
    "text, message",
    [
        ("hdfs://host/a", "--workdir hdfs://host/a: hdfs:// is not supported"),
        ("file:///tmp/a", "give a local path, gs:// or s3://"),
        ("gs://", "names no bucket"),
        ("s3:///a", "names no bucket"),
    ],
)
def test_other_schemes_are_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        as_path(text, name="--workdir")


@pytest.mark.parametrize("text", ["a:b/c", "C:/x", "a//b", "-://x", "./gs:/b"])
def test_names_with_colons_are_local(text):
    assert not is_remote(text)
    assert as_path(text) == pathlib.Path(text)


def test_a_missing_client_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs gcsfs: pip install 'strata\[gcs\]'"):
        as_path("gs://bucket/a")
