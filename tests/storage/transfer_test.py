"""Copies of what is in buckets: whole, current, and with one line where that is not possible."""

import concurrent.futures
import shutil
import time

import pytest

from pipeline.core.errors import ConfigError, DataError
from pipeline.storage import transfer
from pipeline.storage.paths import sizes
from pipeline.storage.transfer import local_copy, temporary_copy, written_file, written_folder


@pytest.fixture
def folder(remote):
    folder = remote / "folder"
    (folder / "a.txt").write_text("1")
    (folder / "sub/b.txt").write_text("22")
    return folder


def test_a_copy_follows_the_bucket(bucket_servers, folder):
    local = local_copy(folder)
    assert local.name == "folder" and (local / "a.txt").read_text() == "1"
    assert (local / "sub/b.txt").read_text() == "22"
    proxy = bucket_servers.proxies[str(folder)[:2]]
    proxy.requests.clear()
    assert local_copy(folder) == local
    assert proxy.requests.total() <= 2  # listed, and not downloaded again
    (folder / "a.txt").write_text("3")  # as long as before
    (folder / "sub/b.txt").unlink()
    local_copy(folder)
    assert (local / "a.txt").read_text() == "3" and not (local / "sub/b.txt").exists()
    assert local_copy(folder / "a.txt").read_text() == "3"
    assert not (local_copy(folder, wanted=lambda name: name == "none") / "none").exists()


def test_processes_that_need_the_same_copy_download_it_once(folder, monkeypatch):
    downloaded, download = [], transfer._download

    def counted(source, *rest):
        downloaded.append(source.name)
        time.sleep(0.05)
        download(source, *rest)

    monkeypatch.setattr(transfer, "_download", counted)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:  # a lock of a file, as of processes
        (local,) = set(pool.map(local_copy, [folder] * 3))
    assert sorted(downloaded) == ["a.txt", "b.txt"] and (local / "a.txt").read_text() == "1"


def test_what_cannot_be_copied_is_an_error_in_one_line(folder, monkeypatch):
    with pytest.raises(DataError, match=r"^data\.path \w+://.*none: there is no such file"):
        local_copy(folder / "none", name="data.path")

    def refuse(name, file):
        raise DataError(f"{name} is damaged")

    with pytest.raises(DataError, match="is damaged"):
        local_copy(folder, verify=refuse)
    usage = shutil.disk_usage("/")._replace(free=2)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataError, match=r"0\.0 GB free: set STRATA_CACHE to a folder on a larger"):
        local_copy(folder)
    monkeypatch.undo()


def test_a_temporary_copy_is_named_as_the_file_in_the_bucket(folder):
    with temporary_copy(folder / "a.txt") as local:
        assert local.read_text() == "1" and local.name == "a.txt"
    assert not local.exists()
    odd = pytest.raises(DataError, match=f"^{folder}/a.txt is odd$")
    with odd, temporary_copy(folder / "a.txt") as local:
        raise DataError(f"{local} is odd")
    missing = pytest.raises(DataError, match="none: No such file or directory")
    with missing, temporary_copy(folder / "none"):
        pass


def test_a_folder_gets_its_last_file_last_and_only_at_the_end(folder, monkeypatch):
    uploaded, upload = [], transfer.upload

    def watched(local, remote):
        assert not (folder / "b.txt").exists()
        uploaded.append(remote.name)
        upload(local, remote)

    monkeypatch.setattr(transfer, "upload", watched)
    (folder / "b.txt").write_text("old")
    with written_folder(folder, last="b.txt") as local:
        (local / "b.txt").write_text("new")
        (local / "c.txt").write_text("new")
        assert (folder / "b.txt").read_text() == "old"
    assert uploaded == ["c.txt", "b.txt"] and (folder / "b.txt").read_text() == "new"
    assert sizes(folder).keys() == {"a.txt", "b.txt", "c.txt", "sub/b.txt"}
    with pytest.raises(ZeroDivisionError), written_folder(folder) as local:
        (local / "d.txt").write_text("half")
        raise ZeroDivisionError
    assert not (folder / "d.txt").exists()


def test_a_file_that_a_bucket_refuses_is_named(bucket_servers, folder):
    proxy = bucket_servers.proxies[str(folder)[:2]]
    proxy.faults.extend([403] * 20)
    try:
        refused = pytest.raises(ConfigError, match=r"--out .*x.png: no permission")
        with refused, written_file(folder / "x.png", name="--out") as local:
            local.write_text("content")
    finally:
        proxy.faults.clear()
