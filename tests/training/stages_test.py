"""Runs with a discriminator, also in stages: interrupting and resuming one changes nothing."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
import tiny_gan
from train_run import train

from pipeline.training.checkpoints.store import Checkpoints
from pipeline.training.monitoring.step_log import TrainLog
from pipeline.training.state.digest import state_digest

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
STAGES = [
    dict(num_steps=6),
    {
        "num_steps": 6,
        "reset_discriminator": True,
        "data.image_size": 12,
        "model.image_size": 12,
        "objective.rate.weight": 1e-3,
    },
    {"num_steps": 8, "objective.adversarial.weight": 0.1, "batch_size": 16},
]


def recipe(in_stages: bool):
    config = tiny_gan.recipe()
    config.checkpoint.every = 3
    # Without R1, two programs are compiled instead of three.
    config.objective.adversarial = dict(weight=0.5, start=4, lecam=0.01)
    config.mesh.fsdp = 1  # a program for one device compiles faster
    config.eval = dict(every=10, num_examples=8)
    config.sample = dict(every=10, num=2)
    if in_stages:
        config.stages = STAGES
    return config


def digest(folder: pathlib.Path, step: int = 20) -> str:
    return state_digest(Checkpoints(folder / "checkpoints").arrays(step))


def lines(folder: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(
    scope="module",
    params=[pytest.param(False, marks=pytest.mark.slow), True],
    ids=["one", "stages"],
)
def straight(request, tmp_path_factory) -> tuple[bool, pathlib.Path]:
    """Train 20 steps without interruption."""
    folder = tmp_path_factory.mktemp("straight")
    train(recipe(request.param), folder)
    return request.param, folder


def train_until(monkeypatch, config, folder: pathlib.Path, last: int) -> None:
    """Stop as a kill would, after the checkpoint of step `last` and two more steps."""

    class Stop(Exception):
        pass

    take = TrainLog.step

    def step(self, number, metrics, examples):
        if number == last + 3:
            raise Stop
        take(self, number, metrics, examples)

    monkeypatch.setattr(TrainLog, "step", step)
    with pytest.raises(Stop):
        train(config, folder)
    monkeypatch.undo()
    assert Checkpoints(folder / "checkpoints").latest() == last


def test_an_interrupted_run_ends_as_an_uninterrupted_one(straight, tmp_path, monkeypatch):
    """Interrupt a run before the discriminator starts within a stage, and at the end of one."""
    in_stages, folder = straight
    for last in (3, 12) if in_stages else (3, 12, 15):
        train_until(monkeypatch, recipe(in_stages), tmp_path / "run", last)
    train(recipe(in_stages), tmp_path / "run")
    assert digest(tmp_path / "run") == digest(folder)
    assert lines(tmp_path / "run") == lines(folder)


def test_a_run_leaves_state_and_metrics(straight):
    in_stages, folder = straight
    arrays = Checkpoints(folder / "checkpoints").arrays(20)
    assert {"params", "ema", "opt_state", "counters", "discriminator"} <= arrays.keys()
    # The discriminator is updated from step 5 on, or from step 7, where it is reset.
    assert int(arrays["discriminator"]["step"]) == (20 - 6 if in_stages else 20 - 4)
    train = [line["train"] for line in lines(folder) if "train" in line]
    assert ["discriminator" in values for values in train] == [False] * 4 + [True] * 16
    (last,) = [line["eval"] for line in lines(folder) if "eval" in line and line["step"] == 20]
    assert {"psnr", "ssim"} <= last.keys() and "bits_per_dim" not in last
    assert np.isfinite([values["loss"] for values in train]).all()


def test_a_run_loads_for_inference(straight):
    _, folder = straight
    from pipeline.build.trained import load_for_inference

    config, step, model = load_for_inference(str(folder), None, ema=True)
    assert step == 20 and config["step"] == "adversarial"
    assert model.decode_conv.kernel.shape == (3, 3, 4, 12)


KILLED = """
import os, pathlib, signal, sys, time
from pipeline.cli import main
from pipeline.training.monitoring.step_log import TrainLog
take = TrainLog.step
def step(self, number, metrics, examples):
    take(self, number, metrics, examples)
    if number == 13:
        while not (pathlib.Path(sys.argv[-1]) / "checkpoints" / "12" / "manifest.json").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
TrainLog.step = step
main()
"""


@pytest.mark.slow
def test_killed_by_the_system_and_resumed_by_the_same_command(tmp_path):
    file = tmp_path / "recipe.py"
    file.write_text(
        f"import sys\nsys.path.insert(0, {str(HERE)!r})\nimport stages_test\n"
        "def get_config(arg=''):\n    return stages_test.recipe(True)\n"
    )
    paths = f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'helpers'}"
    environment = os.environ | {"PYTHONPATH": paths, "XLA_FLAGS": ""}
    plain = [sys.executable, "-c", "from pipeline.cli import main; main()"]

    def run(command, workdir):
        arguments = ["train", "--config", str(file), "--workdir", str(workdir)]
        return subprocess.run(
            [*command, *arguments], env=environment, capture_output=True, text=True, timeout=500
        )

    killed = run([sys.executable, "-c", KILLED], tmp_path / "killed")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    for workdir in (tmp_path / "killed", tmp_path / "straight"):
        done = run(plain, workdir)
        assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "killed") == digest(tmp_path / "straight")
