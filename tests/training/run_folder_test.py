"""Runs whose workdir is in a bucket equal those on a disk, and know when they were replaced."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest
from bucket_servers import BUCKET
from tiny_run import recipe
from train_run import train

from pipeline import build
from pipeline.cli.flags import check_path
from pipeline.core.errors import ConfigError
from pipeline.storage import access, ownership
from pipeline.storage.ownership import Ownership
from pipeline.storage.paths import as_path, sizes
from pipeline.storage.spool import Spool
from pipeline.training import workdir as workdirs
from pipeline.training.checkpoints.newest_step import newest_step
from pipeline.training.checkpoints.store import Checkpoints
from pipeline.training.run_folder import RunFolder
from pipeline.training.state.digest import state_digest

ROOT = pathlib.Path(__file__).parents[2]
# A process that trains, and is killed with SIGKILL when step 13 is dispatched.
KILLED_AT_13 = """
import os, signal, sys
sys.modules["tensorflow"] = None
from tiny_run import recipe
from train_run import train
from pipeline.training.programs import Programs
call = Programs.__call__
def killing(self, step, *rest):
    if step == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return call(self, step, *rest)
Programs.__call__ = killing
from pipeline.training.checkpoints.store import Checkpoints
save = Checkpoints.save
def finished(self, *arguments, **options):
    seconds = save(self, *arguments, **options)
    self.wait()
    return seconds
Checkpoints.save = finished
train(recipe(), sys.argv[1])
"""


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory) -> pathlib.Path:
    workdir = tmp_path_factory.mktemp("run") / "straight"
    train(recipe(), workdir)
    return workdir


def metrics(workdir) -> list[dict]:
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("scheme", ["gs", "s3"])
def test_a_killed_run_resumes_and_ends_as_one_on_a_disk(scheme, on_disk, bucket_servers, tmp_path):
    workdir = as_path(f"{scheme}://{BUCKET}/{tmp_path.name}/run")
    environment = os.environ | {
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/helpers'}",
        "TMPDIR": str(tmp_path),
    }
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_AT_13, str(workdir)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert Checkpoints(workdir / "checkpoints").steps() == [10]
    assert [line["step"] for line in metrics(workdir)] == list(range(1, 11))
    train(recipe(), workdir)
    assert metrics(workdir) == metrics(on_disk)
    ours, theirs = (Checkpoints(each / "checkpoints") for each in (workdir, on_disk))
    assert ours.steps() == [10, 20]
    assert state_digest(ours.arrays(20)) == state_digest(theirs.arrays(20))
    assert (workdir / "DONE").read_text() == "20\n"
    assert workdirs.load(workdir) == workdirs.load(on_disk)
    names = {name for name in sizes(workdir) if not name.startswith(("checkpoints/", "owners/"))}
    on_a_disk = {
        str(path.relative_to(on_disk))
        for path in on_disk.rglob("*")
        if path.is_file() and path.relative_to(on_disk).parts[0] != "checkpoints"
    }
    assert {name for name in on_a_disk if not name.startswith("tb/")} <= names
    assert any(name.startswith("tb/") for name in names)
    assert json.loads((workdir / "goodput.json").read_text())["starts"] == 2


def test_a_folder_with_other_files_or_another_run_is_refused(bucket_servers, tmp_path):
    workdir = as_path(f"gs://{BUCKET}/{tmp_path.name}")
    (workdir / "cat.png").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"is not empty and holds no run \(no config.json\)"):
        train(recipe(), workdir)
    workdirs.write_json(workdir / "config.json", {"seed": 1})
    with pytest.raises(ConfigError, match="the config differs"):
        train(recipe(), workdir)


def test_a_bucket_that_cannot_be_used_is_named_before_anything_starts(bucket_servers, tmp_path):
    began = time.monotonic()
    with pytest.raises(ConfigError, match=r"--workdir gs://no-such-bucket/run: there is no bucket"):
        train(recipe(), "gs://no-such-bucket/run")
    config = recipe()
    config.checkpoint.folder = "s3://no-such-bucket/run"
    with pytest.raises(ConfigError, match=r"checkpoint.folder s3://no-such-bucket/run: there is"):
        train(config, tmp_path / "run")
    assert time.monotonic() - began < 60


def test_a_bucket_is_checked_once(bucket_servers, tmp_path, monkeypatch):
    written: list[str] = []
    write = access._write
    monkeypatch.setattr(access, "_write", lambda probe: (written.append(probe), write(probe)))
    place = f"gs://{BUCKET}/{tmp_path.name}"
    check_path(place, "--workdir", written="folder")  # as `strata train` does first
    folder = RunFolder(place, first_process=True)
    folder.claim({}, force=False)
    folder.close(finished=False)
    assert len(written) == 1


@pytest.mark.parametrize("scheme", ["gs", "s3"])
def test_of_two_starts_the_later_one_owns_the_folder(scheme, bucket_servers, tmp_path):
    workdir = f"{scheme}://{BUCKET}/{tmp_path.name}"
    first = RunFolder(workdir, first_process=True)
    first.claim({"seed": 0}, force=False)
    first.open()
    (first.files / "metrics.jsonl").write_text("1\n")
    first.publish()
    second = RunFolder(workdir, first_process=True)
    second.claim({"seed": 0}, force=False)
    second.open()
    assert (second.files / "metrics.jsonl").read_text() == "1\n"
    (first.files / "metrics.jsonl").write_text("1\nof the first\n")
    with pytest.raises(ConfigError, match=r"now belongs to a run that started later \(process \d+"):
        first.publish()
    first.close(finished=False)
    assert (as_path(workdir) / "metrics.jsonl").read_text() == "1\n"
    (second.files / "metrics.jsonl").write_text("1\nof the second\n")
    second.close(finished=True)
    assert (as_path(workdir) / "metrics.jsonl").read_text() == "1\nof the second\n"


def files_of(folder) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_start_that_has_nothing_to_do_changes_nothing(on_disk, capsys):
    before, shorter = files_of(on_disk), recipe()
    shorter.num_steps, shorter.log.every = 10, 7
    for config in (recipe(), shorter):
        train(config, on_disk)
        assert "is done: step 20 of" in capsys.readouterr().err
        assert files_of(on_disk) == before


def test_a_run_goes_on_whatever_its_small_files_have_become(on_disk, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(on_disk, folder)
    shutil.rmtree(folder / "checkpoints/20")
    lines = (folder / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    damage = {
        "config.json": b"",
        "env.json": b"[]",
        "goodput.json": b'{"seconds": {"step": 1}, "starts": 1, "step": 3, "seconds_per_step": 0, '
        b'"at": 1%s}' % (b"0" * 400),
        "skipped_batches.json": b"\0" * 64,
        "DONE": b"\0\0",
        "speed.jsonl": b"\0" * 64,
        "incidents.jsonl": b'{"step": 3, "ki',
        "metrics.jsonl": b"".join([*lines[:4], b"\xff\n", b"[4]\n", *lines[4:]]) + lines[0][:9],
    }
    for name, content in damage.items():
        (folder / name).write_bytes(content)
    train(recipe(), folder)
    said = capsys.readouterr().err
    for name in damage.keys() - {"DONE"}:
        assert said.count(f"kept as {name}.damaged") + said.count(f"in {name}.damaged") == 1, name
    digests = [
        state_digest(Checkpoints(each / "checkpoints").arrays(20)) for each in (folder, on_disk)
    ]
    assert digests[0] == digests[1] and metrics(folder) == metrics(on_disk)
    assert (folder / "metrics.jsonl.damaged").read_bytes().count(b"\n") == 3
    assert (folder / "config.json.damaged").read_bytes() == b""
    assert workdirs.load(folder) == workdirs.load(on_disk)
    assert (folder / "DONE").read_text() == "20\n"


NESTED = '{"a":' * 400 + "0" + "}" * 400


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "null", '{"model": 3}', "{", "[" * 10**5, NESTED]
)
def test_readers_report_a_damaged_config_in_one_line(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=r"config.json is damaged: `strata train`"):
        workdirs.load(tmp_path)
    assert newest_step(tmp_path) == -1


@pytest.mark.parametrize(
    "key, value",
    [("dtype", None), ("eval", []), ("objective", "x"), ("batch_size", 1.5), ("checkpoint", {})],
)
def test_a_config_without_what_readers_need_is_damaged(tmp_path, key, value):
    config = build.complete(recipe())
    workdirs.write_config(tmp_path, config)
    assert workdirs.load(tmp_path)["dtype"] == "float32"
    for changed in (config | {key: value}, {name: config[name] for name in config if name != key}):
        workdirs.write_config(tmp_path, changed)
        with pytest.raises(ConfigError, match=r"config.json is damaged"):
            workdirs.load(tmp_path)


@pytest.mark.parametrize("scheme", ["gs", "s3"])
def test_two_starts_at_the_same_moment_are_detected(scheme, bucket_servers, tmp_path, monkeypatch):
    folder = as_path(f"{scheme}://{BUCKET}/{tmp_path.name}")
    Ownership(folder)
    monkeypatch.setattr(ownership, "_numbers", lambda folder: [])  # as both see it before either is
    with pytest.raises(ConfigError, match="was claimed by another run at the same moment"):
        Ownership(folder)


def test_the_spool_uploads_changes_and_deletions_in_the_background(bucket_servers, tmp_path):
    remote = as_path(f"gs://{BUCKET}/{tmp_path.name}")
    spool = Spool(remote, interval_s=0.1)
    spool.start()
    (spool.folder / "samples").mkdir()
    (spool.folder / "samples/a.png").write_bytes(b"png")
    (spool.folder / "DONE").write_text("1")
    (spool.folder / "config.partial").write_text("half")
    _until(lambda: sizes(remote) == {"DONE": 1, "samples/a.png": 3})
    (spool.folder / "DONE").unlink()
    with (spool.folder / "samples/a.png").open("ab") as file:
        file.write(b"!")
    _until(lambda: sizes(remote) == {"samples/a.png": 4})
    folder = spool.folder
    spool.close()
    assert not folder.exists()


@pytest.mark.usefixtures("short_pauses")
def test_logs_that_cannot_be_uploaded_are_kept_and_the_run_goes_on(bucket_servers, tmp_path, capfd):
    remote, proxy = as_path(f"s3://{BUCKET}/{tmp_path.name}"), bucket_servers.proxies["s3"]
    spool = Spool(remote, interval_s=0.05)
    spool.start()
    proxy.down = True
    try:
        (spool.folder / "metrics.jsonl").write_text("{}\n")
        _until(lambda: "logs cannot reach" in capfd.readouterr().err)
        spool.close(patience_s=0.1)
    finally:
        proxy.down = False
    assert f"the last logs of this run are in {spool.folder}" in capfd.readouterr().err
    assert (spool.folder / "metrics.jsonl").read_text() == "{}\n"


def test_a_process_that_leaves_at_once_uploads_what_it_logged(
    bucket_servers, tmp_path, monkeypatch
):
    folder = RunFolder(f"gs://{BUCKET}/{tmp_path.name}", first_process=True)
    folder.claim({}, force=False)
    folder.open()
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    (folder.files / "hangs").mkdir()
    (folder.files / "hangs/process_0.txt").write_text("stuck")
    folder.leave(70)
    assert codes == [70]
    assert (folder.root / "hangs/process_0.txt").read_text() == "stuck"
    folder.close(finished=True)


def _until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
