"""A folder has one owner: others are refused, and those of dead processes are replaced."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time
import types

import pytest
from bucket_servers import BUCKET
from tiny_run import tiny

from pipeline.cli import dispatch, file_batch
from pipeline.core.errors import ConfigError
from pipeline.storage import buckets, owner_files, ownership, processes
from pipeline.storage.owner_files import OwnerFile
from pipeline.storage.paths import as_path, sizes
from pipeline.training.run_folder import RunFolder

OWNS = """
import sys, time
from pipeline.storage import ownership
ownership.claim(sys.argv[1], name="--out")
print("owned", flush=True)
time.sleep(60)
"""


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(owner_files, "STALE_S", 2.0)
    monkeypatch.setattr(owner_files, "POLL_S", 0.05)


def owner_elsewhere(folder: pathlib.Path, age: float) -> pathlib.Path:
    """Write what a process on another machine leaves that last touched its file `age` s ago."""
    file = folder / owner_files.NAME / "000003"
    file.parent.mkdir(parents=True, exist_ok=True)
    about = processes.identity() | {"machine": "another", "host": "far", "process": 77}
    file.write_text(json.dumps(about | {"token": "theirs"}))
    os.utime(file, (time.time() - age,) * 2)
    return file


def test_the_second_is_refused_until_the_first_ends(tmp_path):
    folder = tmp_path / "run"
    first = ownership.claim(folder, name="--workdir")
    said = rf"--workdir {folder} is in use by process {os.getpid()} on .* since .*: wait for it"
    with pytest.raises(ConfigError, match=said) as caught:
        ownership.claim(folder, name="--workdir")
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2
    first.check()
    first.release()
    assert not folder.exists(), "nothing was written, so nothing stays"
    ownership.claim(folder, name="--workdir").release()


def test_a_killed_process_owns_nothing_even_before_it_is_reaped(tmp_path):
    command = [sys.executable, "-c", OWNS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(ConfigError, match=f"in use by process {other.pid} "):
            ownership.claim(tmp_path, name="--out")
        other.kill()
        deadline = time.monotonic() + 60
        while processes._started(other.pid) != "ended" and time.monotonic() < deadline:
            time.sleep(0.01)
        owner = ownership.claim(tmp_path, name="--out")
    assert [file.name for file in (tmp_path / owner_files.NAME).iterdir()] == ["000002"]
    owner.release()
    assert not list(tmp_path.iterdir())


def test_another_process_with_the_same_number_is_not_the_owner(tmp_path):
    file = owner_elsewhere(tmp_path, 0)
    about = processes.identity() | {"started": "1"}
    file.write_text(json.dumps(about))
    ownership.claim(tmp_path, name="--out").release()


def test_of_several_at_the_same_moment_one_wins(tmp_path):
    owners: list[ownership.Claim] = []

    def start() -> None:
        with contextlib.suppress(ConfigError):
            owners.append(ownership.claim(tmp_path, name="--out"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(owners) == 1
    owners[0].release()


def test_an_owner_on_another_machine_is_gone_when_it_is_silent(tmp_path, quick, capsys):
    owner_elsewhere(tmp_path, 5)
    ownership.claim(tmp_path, name="--out").release()
    assert capsys.readouterr().err == ""
    owner_elsewhere(tmp_path, 1.7)
    ownership.claim(tmp_path, name="--out").release()
    assert "was in use by process 77 on far" in capsys.readouterr().err


def test_an_owner_on_another_machine_that_is_not_silent_stays(tmp_path, quick, monkeypatch):
    monkeypatch.setattr(owner_files, "STALE_S", 600.0)
    file = owner_elsewhere(tmp_path, 0)
    touching = threading.Timer(0.3, os.utime, [file])
    touching.start()
    with pytest.raises(ConfigError, match="in use by process 77 on far"):
        ownership.claim(tmp_path, name="--out")
    touching.join()


@pytest.mark.parametrize("content", ["", "\0" * 40, "[1]", '{"process": "x"}', '{"mach'])
def test_a_damaged_owner_file_counts_by_its_age(tmp_path, quick, content):
    file = owner_elsewhere(tmp_path, 0)
    file.write_text(content)
    os.utime(file, (time.time() - 5,) * 2)
    ownership.claim(tmp_path, name="--out").release()


def test_one_that_was_taken_for_dead_finds_out(tmp_path):
    owner = ownership.claim(tmp_path, name="--workdir")
    shutil.rmtree(tmp_path / owner_files.NAME)
    owner_elsewhere(tmp_path, 0)
    with pytest.raises(ConfigError, match=r"now belongs to process 77 on far.*this one stops"):
        owner.check()
    owner.release()
    assert (tmp_path / owner_files.NAME / "000003").exists(), "it is not ours to delete"


def test_without_links_files_are_created_exclusively(tmp_path, monkeypatch):
    def no_links(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    owner = ownership.claim(tmp_path, name="--out")
    with pytest.raises(ConfigError, match="in use"):
        ownership.claim(tmp_path, name="--out")
    owner.release()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=rf"--out {tmp_path}/file: Not a directory"):
        ownership.claim(tmp_path / "file", name="--out")


def refused(command: list[str], capsys) -> None:
    assert dispatch(command) == 2, command
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and f"in use by process {os.getpid()} on" in said[0], said


@pytest.mark.parametrize("scheme", ["gs", "s3"])
def test_results_in_a_bucket_have_one_owner(
    scheme, bucket_servers, tmp_path, quick, capsys, monkeypatch
):
    folder = as_path(f"{scheme}://{BUCKET}/{tmp_path.name}")
    with ownership.owned(folder) as owner:
        in_use = f"--out {folder} is in use by process {os.getpid()}"
        with pytest.raises(ConfigError, match=in_use), ownership.owned(folder):
            pass
        owner.check()
    assert not list(folder.iterdir())

    file = folder / owner_files.NAME / "000003"
    about = processes.identity() | {"machine": "another", "host": "far", "process": 77}
    file.write_text(json.dumps(about))
    monkeypatch.setattr(owner_files, "STALE_S", 600.0)
    touching = threading.Timer(1.2, buckets.touch, [file])  # S3's times are whole seconds
    touching.start()
    with pytest.raises(ConfigError, match="in use by process 77 on far"), ownership.owned(folder):
        pass
    touching.join()
    monkeypatch.setattr(owner_files, "STALE_S", 2.0)
    with ownership.owned(folder) as owner:  # it is silent from now on
        assert "waiting for up to 2 s" in capsys.readouterr().err
        assert [path.name for path in file.parent.iterdir()] == ["000004"]
        (file.parent / "000004").unlink()
        with pytest.raises(FileNotFoundError):
            buckets.touch(file.parent / "000004")  # what is gone stays gone
        with pytest.raises(ConfigError, match="took this process for dead"):
            owner.check()


def test_every_command_that_writes_a_folder_owns_it(tmp_path, capsys):
    out, source = tmp_path / "out", tmp_path / "source"
    source.mkdir()
    (source / "weights.safetensors").write_bytes(b"")
    with ownership.owned(out):
        refused(["export", "--workdir", str(source), "--out", str(out)], capsys)
        weights = str(source / "weights.safetensors")
        refused(["import", "--from", "diffusers", weights, "--out", str(out)], capsys)
        codec = types.SimpleNamespace(config={}, fingerprint="")
        for command in ("encode", "decode", "reconstruct"):
            with pytest.raises(ConfigError, match="in use by process"):
                arguments = (command, [], str(out), codec, {}, lambda *_: {})
                file_batch.each(*arguments, line=str, stream=sys.stderr)
    packed = OwnerFile(tmp_path / ".packed.partial", name="--out")
    refused(["data", "pack", str(source), "--out", str(tmp_path / "packed")], capsys)
    packed.release()


def test_a_run_owns_its_folder_and_that_of_its_checkpoints(tmp_path):
    runs = [RunFolder(tmp_path / name, first_process=True) for name in ("a", "b", "a")]
    checkpoints = str(tmp_path / "shared")
    runs[0].claim(tiny(), force=False, checkpoints=checkpoints)
    with pytest.raises(ConfigError, match=f"checkpoint.folder {checkpoints} is in use"):
        runs[1].claim(tiny(), force=False, checkpoints=checkpoints)
    runs[1].close(finished=False)
    with pytest.raises(ConfigError, match=f"--workdir {tmp_path / 'a'} is in use"):
        runs[2].claim(tiny(), force=False)
    other_process = RunFolder(tmp_path / "a", first_process=False)
    other_process.claim(tiny(), force=False)  # of the same run
    other_process.close(finished=True)
    runs[0].publish()
    runs[0].close(finished=True)
    runs[1].claim(tiny(), force=False, checkpoints=checkpoints)
    runs[1].close(finished=True)


def test_the_own_checkpoints_of_a_run_are_not_for_another_one(tmp_path):
    run, other = (RunFolder(tmp_path / name, first_process=True) for name in ("a", "b"))
    run.claim(tiny(), force=False)
    theirs = str(tmp_path / "b/../a/checkpoints")
    with pytest.raises(ConfigError, match=rf"checkpoint.folder {theirs} is in use by process"):
        other.claim(tiny(), force=False, checkpoints=theirs)
    other.close(finished=False)
    run.close(finished=False)
    run = RunFolder(tmp_path / "a", first_process=True)
    run.claim(tiny(), force=False, checkpoints=str(tmp_path / "a/checkpoints/"))
    run.close(finished=False)


def test_in_a_bucket_they_are_not_before_the_run_has_ended(bucket_servers, tmp_path):
    place = f"gs://{BUCKET}/{tmp_path.name}"
    runs = [RunFolder(f"{place}/{name}", first_process=True) for name in ("a", "b", "a")]
    theirs = f"{place}/a/checkpoints"
    runs[0].claim(tiny(), force=False)
    said = f"checkpoint.folder {theirs} is that of the run in {place}/a \\(process"
    with pytest.raises(ConfigError, match=said):
        runs[1].claim(tiny(), force=False, checkpoints=theirs)
    runs[2].claim(tiny(), force=False, checkpoints=theirs)  # the same run, started again
    with pytest.raises(ConfigError, match="belongs to a run that started later"):
        runs[0].check()
    for run in runs:
        run.close(finished=False)
    runs[1].claim(tiny(), force=False, checkpoints=theirs)
    runs[1].close(finished=False)


@pytest.mark.parametrize("remote", [False, True])
def test_a_run_that_leaves_at_once_gives_its_folder_up(
    remote, bucket_servers, tmp_path, monkeypatch
):
    place = f"s3://{BUCKET}/{tmp_path.name}" if remote else tmp_path / "run"
    run, codes = RunFolder(place, first_process=True), []
    run.claim(tiny(), force=False)
    monkeypatch.setattr(os, "_exit", codes.append)
    run.abandon(75)
    assert codes == [75]
    left = [name for name in sizes(as_path(place)) if name != "config.json"]
    if remote:
        assert all(json.loads((as_path(place) / name).read_text())["released"] for name in left)
    assert bool(left) == remote
