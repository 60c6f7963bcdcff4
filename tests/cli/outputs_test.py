"""Finished work is not thrown away: places are checked first, and a result is printed at least."""

import errno
import json
import os
import pathlib
import tempfile
import types

import numpy as np
import pytest

from pipeline.cli import dispatch, flags
from pipeline.cli import eval as eval_command
from pipeline.cli import report as report_command
from pipeline.cli import sample as sample_command
from pipeline.core.errors import ConfigError
from pipeline.storage import transfer


@pytest.fixture
def places(tmp_path) -> dict[str, str]:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere" / "x")
    (tmp_path / "promise").symlink_to(tmp_path / "not yet")
    return {
        "long part": str(tmp_path / "new" / ("x" * 300) / "x"),
        "loop": str(tmp_path / "loop"),
        "below a loop": str(tmp_path / "loop" / "x"),
        "broken link": str(tmp_path / "broken"),
        "below a broken link": str(tmp_path / "broken" / "x"),
        "link to come": str(tmp_path / "promise"),
        "below a file": str(tmp_path / "file" / "x"),
        "no permission": "/proc/strata/x",
        "long": str(tmp_path / ("x" * 300)),
        "folder": str(tmp_path / "folder"),
        "file": str(tmp_path / "file"),
        "new": str(tmp_path / "new" / "deep" / "x.png"),
    }


NEVER = ["below a file", "no permission", "long", "long part"]
LINKS = ["loop", "below a loop", "broken link", "below a broken link"]


@pytest.mark.parametrize("place", [*NEVER, *LINKS, "folder"])
def test_a_file_that_cannot_be_written_is_named_first(places, place):
    with pytest.raises(ConfigError, match="--json /") as error:
        flags.check_path(places[place], "--json", written="file")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("place", [*NEVER, *LINKS, "file", "link to come"])
def test_a_folder_that_cannot_be_written_is_named_first(places, place):
    with pytest.raises(ConfigError, match="--out /"):
        flags.check_path(places[place], "--out", written="folder")


def test_a_check_leaves_nothing_and_a_result_makes_its_folders(places, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    for name, kind in (("new", "file"), ("new", "folder"), ("file", "file"), ("folder", "folder")):
        flags.check_path(places[name], "--x", written=kind)
    flags.check_path("-", "--json", written="file")
    flags.check_path("/dev/null", "--json", written="file")
    flags.check_path(places["link to come"], "--json", written="file")
    assert sorted(tmp_path.rglob("*")) == before
    flags.write_json({"a": 1}, places["new"])
    assert json.loads(pathlib.Path(places["new"]).read_text()) == {"a": 1}
    other = tmp_path / "other" / "x.png"
    with transfer.written_file(str(other)) as file:
        file.write_bytes(b"")
    assert other.exists()


COMMANDS = {
    "plan": ["--config", "configs/quickstart/digits.py:tiny", "--topology", "cpu:1"],
    "inspect": ["--config", "configs/quickstart/digits.py:tiny"],
    "eval": ["--workdir", "NONE"],
    "encode": ["--codec", "NONE", "--out", "NONE/out", "a.png"],
    "reconstruct": ["--codec", "NONE", "--out", "NONE/out", "a.png"],
    "decode": ["--codec", "NONE", "--out", "NONE/out", "a.safetensors"],
    "bench data": [],
    "bench train": ["--config", "configs/quickstart/digits.py:tiny"],
    "bench checkpoint": [],
    "data pack": ["NONE", "--out", "NONE/out"],
    "checkpoint verify": ["NONE"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_looks_at_json_first(command, places, capsys):
    where = places["below a file"]
    arguments = [each.replace("NONE", "/nowhere-at-all") for each in COMMANDS[command]]
    assert dispatch([*command.split(), *arguments, f"--json={where}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--json {where}" in line


OUTPUTS = {
    "export": ["--workdir", "/nowhere-at-all"],
    "sample": ["--workdir", "/nowhere-at-all"],
    "data pack": ["/nowhere-at-all"],
    "data examples": ["--config", "configs/quickstart/digits.py:tiny"],
    "import": ["--from", "taesd", "/nowhere-at-all", "/nowhere-at-all"],
    "reconstruct": ["--codec", "/nowhere-at-all", "a.png"],
}


@pytest.mark.parametrize("command", OUTPUTS)
def test_every_command_looks_at_out_first(command, places, capsys):
    where = places["below a file"] + ".png"
    assert dispatch([*command.split(), *OUTPUTS[command], f"--out={where}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--out {where}" in line


def test_a_result_that_cannot_be_written_is_printed(capsys, tmp_path):
    (tmp_path / "late").mkdir()  # as if something else made it during the work
    with pytest.raises(ConfigError, match="the result is printed above"):
        flags.write_json({"psnr": 30.5}, str(tmp_path / "late"))
    assert json.loads(capsys.readouterr().out) == {"psnr": 30.5}


def test_a_picture_that_cannot_be_written_costs_neither_it_nor_its_figures(
    tmp_path, capsys, monkeypatch
):
    from pipeline.build import trained

    figures = {"num": 2, "what": "samples", "recognized": 1, "held_out": 1.0}
    drawn = np.zeros((4, 4, 3), np.uint8), "2 samples", figures
    model = types.SimpleNamespace(num_layers=1)
    monkeypatch.setattr(trained, "load_for_inference", lambda *_: ({}, 3, model))
    monkeypatch.setattr(sample_command, "_samples", lambda *_: out.mkdir() or drawn)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    out, file = tmp_path / "late.png", tmp_path / "result.json"
    command = ["sample", "--workdir", "run", "--out", str(out), "--json", str(file)]
    assert dispatch(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    result = json.loads(file.read_text())
    assert result == {"step": 3, "out": result["out"], **figures}
    assert line.endswith(f"--out {out}: Is a directory; the picture is in {result['out']}")
    assert pathlib.Path(result["out"]).read_bytes().startswith(b"\x89PNG")


def test_a_failed_write_is_one_line_wherever_it_happens(capsys, monkeypatch):
    def write(argv):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(report_command, "run", write)
    assert dispatch(["report", "run"]) == 2
    assert capsys.readouterr().err == "strata report: No space left on device\n"


@pytest.fixture
def evaluated(tmp_path, monkeypatch) -> list[str]:
    """Replace the evaluation, and put a file where its results would be kept."""
    (tmp_path / "eval").write_text("in the way")
    called: list[str] = []
    monkeypatch.setattr(
        eval_command, "_evaluate", lambda workdir, values: called.append(workdir) or RESULT
    )
    return called


RESULT = {"step": 3, "num_examples": 4, "mse": 0.5}


def test_eval_looks_at_its_folder_first(evaluated, tmp_path, capsys):
    assert dispatch(["eval", "--workdir", str(tmp_path)]) == 2
    assert "is a file, not a folder" in capsys.readouterr().err and evaluated == []


def test_eval_writes_json_without_its_folder(evaluated, tmp_path, capsys):
    file = tmp_path / "result.json"
    assert dispatch(["eval", "--workdir", str(tmp_path), "--json", str(file)]) == 0
    assert json.loads(file.read_text()) == RESULT
    assert "the result goes to --json only" in capsys.readouterr().err


def test_eval_keeps_its_result_when_json_fails_late(evaluated, tmp_path, capsys, monkeypatch):
    os.unlink(tmp_path / "eval")
    file = tmp_path / "late"
    monkeypatch.setattr(eval_command, "_evaluate", lambda *_: file.mkdir() or RESULT)
    assert dispatch(["eval", "--workdir", str(tmp_path), "--json", str(file)]) == 2
    printed = capsys.readouterr().out.splitlines()[-1]
    assert json.loads(printed) == RESULT
    assert json.loads((tmp_path / "eval" / "3.json").read_text()) == RESULT
