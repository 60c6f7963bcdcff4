"""Finished work is not thrown away: places are checked first, and a result is printed at least."""

import json
import os
import pathlib

import pytest

from pipeline.cli import dispatch, flags
from pipeline.cli import eval as eval_command
from pipeline.core.errors import ConfigError
from pipeline.storage import transfer


@pytest.fixture
def places(tmp_path) -> dict[str, str]:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    return {
        "below a file": str(tmp_path / "file" / "x"),
        "no permission": "/proc/strata/x",
        "long": str(tmp_path / ("x" * 300)),
        "folder": str(tmp_path / "folder"),
        "file": str(tmp_path / "file"),
        "new": str(tmp_path / "new" / "deep" / "x.png"),
    }


@pytest.mark.parametrize("place", ["below a file", "no permission", "long", "folder"])
def test_a_file_that_cannot_be_written_is_named_first(places, place):
    with pytest.raises(ConfigError, match="--json /") as error:
        flags.check_path(places[place], "--json", written="file")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("place", ["below a file", "no permission", "long", "file"])
def test_a_folder_that_cannot_be_written_is_named_first(places, place):
    with pytest.raises(ConfigError, match="--out /"):
        flags.check_path(places[place], "--out", written="folder")


def test_a_check_leaves_nothing_and_a_result_makes_its_folders(places, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    for name, kind in (("new", "file"), ("new", "folder"), ("file", "file"), ("folder", "folder")):
        flags.check_path(places[name], "--x", written=kind)
    flags.check_path("-", "--json", written="file")
    flags.check_path("/dev/null", "--json", written="file")
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
