"""`strata train` from outside: Ctrl-C, a full disk, longer and diverging runs end in one line."""

import errno
import functools
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from pipeline.cli import dispatch

ROOT = pathlib.Path(__file__).parents[2]
# Without TensorFlow a run writes no TensorBoard files, and saves seconds of imports.
MAIN = "import sys; sys.modules['tensorflow'] = None; from pipeline.cli import main; main()"
STRATA = [sys.executable, "-c", MAIN]
# The recipe of tests/helpers/tiny_run.py, in a file, as users have one.
RECIPE = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests" / "helpers")!r})
import tiny_run
def get_config(arg=""):
    return tiny_run.recipe()
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny.py"
    path.write_text(RECIPE)
    return path


def train(capfd, recipe, workdir, *overrides) -> tuple[int, list[str]]:
    """Run the command in this process; return its exit code and lines on standard error."""
    capfd.readouterr()
    code = dispatch(["train", "--config", str(recipe), "--workdir", str(workdir), *overrides])
    return code, capfd.readouterr().err.splitlines()


def checkpoints(workdir) -> list[int]:
    return sorted(
        int(path.name) for path in (workdir / "checkpoints").iterdir() if path.name.isdigit()
    )


def test_a_finished_run_can_be_extended(capfd, recipe, tmp_path):
    for steps in (2, 3):
        code, lines = train(capfd, recipe, tmp_path, f"--config.num_steps={steps}")
        assert code == 0, lines
        assert (tmp_path / "DONE").read_text() == f"{steps}\n"
    assert checkpoints(tmp_path) == [2, 3]
    logged = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged] == [1, 2, 3]


def test_ctrl_c_ends_in_one_line_with_the_step_to_resume_from(recipe, tmp_path):
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": os.environ["ONE_DEVICE_XLA_FLAGS"],
    }
    overrides = [
        "--config.num_steps=1000000",
        "--config.checkpoint.every=5",
        "--config.log.every=100",
    ]
    command = [*STRATA, "train", "--config", str(recipe), "--workdir", str(tmp_path), *overrides]
    # A shell starts background jobs with SIGINT ignored, which their children inherit.
    listen = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    run = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=listen
    )
    while not (tmp_path / "checkpoints" / "5").exists():
        assert run.poll() is None, run.communicate()
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    try:
        lines = run.communicate(timeout=120)[1].splitlines()
    finally:
        run.kill()
    assert run.returncode == 130
    step = checkpoints(tmp_path)[-1]
    assert lines[-1] == f"strata train: interrupted; the same command resumes after step {step}"
    assert "Traceback" not in "\n".join(lines) and not (tmp_path / "DONE").exists()


def test_a_full_disk_keeps_earlier_checkpoints(capfd, recipe, tmp_path):
    assert train(capfd, recipe, tmp_path, "--config.num_steps=1")[0] == 0
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # writes fail, as on a full disk
    try:
        code, lines = train(capfd, recipe, tmp_path, "--config.num_steps=3")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    message = [line for line in lines if line.startswith("strata")][-1]
    assert code == 65 and "Traceback" not in "\n".join(lines), lines
    assert "the checkpoint of step 3 was not written: File too large" in message
    assert "step 1" in message and checkpoints(tmp_path) == [1]
    assert not (tmp_path / "DONE").exists()
    code, lines = train(capfd, recipe, tmp_path, "--config.num_steps=3")
    assert code == 0 and any("resuming after step 1" in line for line in lines)


@pytest.mark.slow
def test_a_diverged_run_ends_with_its_code(capfd, recipe, tmp_path):
    # So large a weight of the KL makes every loss non-finite.
    code, lines = train(
        capfd,
        recipe,
        tmp_path,
        "--config.objective.rate.weight=3e38",
        "--config.num_steps=1000",
        "--config.divergence.patience=2",
        "--config.divergence.max_rollbacks=1",
    )
    assert code == 76
    assert "not finite, for 2 steps in a row; 1 rollback" in lines[-1]


def test_a_changed_dataset_is_refused_without_force_config(capfd, recipe, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    np.save(tmp_path / "images.npy", images)
    data = ["--config.data.source=arrays", f"--config.data.path={tmp_path / 'images.npy'}"]
    run = tmp_path / "run"
    assert train(capfd, recipe, run, *data, "--config.num_steps=1")[0] == 0
    np.save(tmp_path / "images.npy", 255 - images)
    code, lines = train(capfd, recipe, run, *data, "--config.num_steps=2")
    assert (
        code == 2
        and len(lines) == 1
        and "the dataset differs from that of checkpoint 1: fingerprint: " in lines[0]
    )
    assert checkpoints(run) == [1]
    assert train(capfd, recipe, run, *data, "--config.num_steps=2", "--force_config")[0] == 0


def test_an_error_of_the_system_is_one_line_in_a_run_of_several_processes(
    recipe, monkeypatch, capsys
):
    from pipeline.cli import train as command
    from pipeline.training.runtime import distributed, roll_call

    def leave(exit_code, *, wait_s):
        raise SystemExit(exit_code)

    def fail(*_):
        raise IsADirectoryError(errno.EISDIR, "Is a directory", "run/metrics.jsonl")

    group = roll_call.Group("node0:8476", 2, 1)
    monkeypatch.setattr(distributed, "initialize", lambda *_, **__: group)
    monkeypatch.setattr(distributed, "leave", leave)
    monkeypatch.setattr(command, "_train", fail)
    with pytest.raises(SystemExit, match="2"):
        dispatch(["train", "--config", str(recipe), "--workdir", "run"])
    assert capsys.readouterr().err == "strata train: run/metrics.jsonl: Is a directory\n"


@pytest.mark.parametrize("flag", ["initialization_timeout", "heartbeat_timeout"])
def test_times_that_no_socket_takes_are_refused(recipe, flag, capsys):
    command = ["train", "--config", str(recipe), "--workdir", "run", f"--{flag}={10**10}"]
    assert dispatch(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("strata train: ") and flag in line
