"""`strata train`: an interrupted run ends as an uninterrupted one; a changed one is refused.

This also covers feed.py, programs.py and monitoring/run_log.py, which only the loop uses.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from pipeline.cli import dispatch

ROOT = pathlib.Path(__file__).parents[2]
RECIPE = ROOT / "tests" / "helpers" / "tiny_run.py"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Write tiny_run's recipe to a file, as a user would."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.py"
    path.write_text(
        f"import sys\nsys.path.insert(0, {str(RECIPE.parent)!r})\nimport tiny_run\n"
        "def get_config(arg=''):\n    return tiny_run.recipe()\n"
    )
    return path


def train(recipe, workdir, *flags) -> int:
    """Run the command in this process and return its exit code."""
    return dispatch(["train", "--config", str(recipe), "--workdir", str(workdir), *flags])


def inspect(workdir: pathlib.Path, out: pathlib.Path) -> dict:
    assert dispatch(["inspect", "--workdir", str(workdir), "--json", str(out)]) == 0
    return json.loads(out.read_text()) | {"workdir": ""}


def metrics(workdir: pathlib.Path) -> list[dict]:
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "speed" not in line]


@pytest.fixture(scope="module")
def straight(recipe, tmp_path_factory) -> pathlib.Path:
    """Train 20 steps without interruption."""
    workdir = tmp_path_factory.mktemp("runs") / "straight"
    assert train(recipe, workdir) == 0
    return workdir


def test_a_run_leaves_the_promised_files(straight):
    names = {path.name for path in straight.iterdir()}
    assert {"config.json", "env.json", "checkpoints", "metrics.jsonl", "tb", "DONE"} <= names
    assert {path.name for path in (straight / "checkpoints").iterdir() if path.name.isdigit()} == {
        "10",
        "20",
    }
    assert [line["step"] for line in metrics(straight)] == list(range(1, 21))
    assert json.loads((straight / "env.json").read_text())["packages"]["jax"]


# The command, killed with SIGKILL once step 13 is dispatched and the save of step 10 is on disk.
KILLED_AT_13 = """
import os, pathlib, signal, sys, time
sys.modules["tensorflow"] = None  # a run then writes no TensorBoard files, and starts sooner
from pipeline.cli import main
from pipeline.training.monitoring.step_log import TrainLog
take = TrainLog.step
def step(self, number, metrics, examples):
    take(self, number, metrics, examples)
    if number == 13:
        while not (pathlib.Path(sys.argv[-1]) / "checkpoints" / "10" / "manifest.json").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
TrainLog.step = step
main()
"""


def test_killed_and_resumed_equals_uninterrupted(recipe, straight, tmp_path, capfd):
    workdir = tmp_path / "killed"
    command = [
        sys.executable,
        "-c",
        KILLED_AT_13,
        "train",
        "--config",
        str(recipe),
        "--workdir",
        str(workdir),
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    killed = subprocess.run(command, env=environment, capture_output=True, timeout=300)
    assert killed.returncode == -signal.SIGKILL and not (workdir / "DONE").exists()
    capfd.readouterr()
    assert train(recipe, workdir) == 0
    assert "resuming after step 10" in capfd.readouterr().err
    assert inspect(workdir, tmp_path / "a.json") == inspect(straight, tmp_path / "b.json")
    assert metrics(workdir) == metrics(straight)


def test_a_finished_run_has_nothing_to_do(recipe, straight, tmp_path, capfd):
    before = inspect(straight, tmp_path / "before.json")
    assert train(recipe, straight) == 0 and "is done" in capfd.readouterr().err
    assert inspect(straight, tmp_path / "after.json") == before


@pytest.mark.parametrize(
    "flags, code, message",
    [
        (["--config.seed=3"], 2, "seed: 0 -> 3"),
        (
            ["--config.data.image_size=7", "--config.model.image_size=7", "--force_config"],
            2,
            "image_size",
        ),
        (["--config.batchsize=7"], 2, "did you mean 'batch_size'"),
        (["--config.batch_size=x"], 2, "config.batch_size"),
        (["--config.mesh.replica=3"], 2, "devices"),
        (["--config.batch_size=100000", "--force_config"], 65, "training examples"),
        (
            ["--config.data.source=folder", "--config.data.path=/nowhere", "--force_config"],
            65,
            "/nowhere",
        ),
    ],
)
def test_an_impossible_change_is_one_line_and_loses_nothing(
    recipe, straight, flags, code, message, capfd
):
    before = sorted(path.name for path in (straight / "checkpoints").iterdir())
    capfd.readouterr()
    found = train(recipe, straight, *flags)
    said = capfd.readouterr().err
    assert found == code, said
    assert message in said and len(said.strip().splitlines()) == 1, said
    assert sorted(path.name for path in (straight / "checkpoints").iterdir()) == before
    assert json.loads((straight / "config.json").read_text())["seed"] == 0
