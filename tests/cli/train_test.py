"""The train command from outside: Ctrl-C, a full disk, longer and diverging runs, all told in a line."""

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
STRATA = [sys.executable, "-c", "from pipeline.cli import main; main()"]
# The recipe of tests/training/tiny_run.py, as a file of its own, as a user has it.
RECIPE = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests" / "training")!r})
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
    """Exit code and standard error, in this process: starting one takes longer than the run."""
    capfd.readouterr()
    code = dispatch(["train", "--config", str(recipe), "--workdir", str(workdir), *overrides])
    return code, capfd.readouterr().err.splitlines()


def checkpoints(workdir) -> list[int]:
    return sorted(
        int(path.name) for path in (workdir / "checkpoints").iterdir() if path.name.isdigit()
    )


def test_a_run_is_made_longer_and_again_marked_done(capfd, recipe, tmp_path):
    for steps in (2, 3):
        code, lines = train(capfd, recipe, tmp_path, f"--config.num_steps={steps}")
        assert code == 0, lines
        assert (tmp_path / "DONE").read_text() == f"{steps}\n"
    assert checkpoints(tmp_path) == [2, 3]
    logged = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged] == [1, 2, 3]


def test_ctrl_c_ends_in_a_line_that_tells_where_it_resumes(recipe, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
    overrides = [
        "--config.num_steps=1000000",
        "--config.checkpoint.every=5",
        "--config.log.every=100",
    ]
    command = [*STRATA, "train", "--config", str(recipe), "--workdir", str(tmp_path), *overrides]
    # A shell starts what runs in its background with SIGINT ignored, and children inherit that.
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
    assert (
        lines[-1]
        == f"strata train: interrupted; the same command resumes after step {checkpoints(tmp_path)[-1]}"
    )
    assert "Traceback" not in "\n".join(lines) and not (tmp_path / "DONE").exists()


def test_a_full_disk_loses_no_earlier_checkpoint(capfd, recipe, tmp_path):
    assert train(capfd, recipe, tmp_path, "--config.num_steps=1")[0] == 0
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # as on a full disk, writes fail
    try:
        code, lines = train(capfd, recipe, tmp_path, "--config.num_steps=3")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    told = [line for line in lines if line.startswith("strata")]
    assert code == 65 and "Traceback" not in "\n".join(lines), lines
    assert "the checkpoint of step 3 was not written: File too large" in told[-1], told
    assert (
        "step 1" in told[-1] and checkpoints(tmp_path) == [1] and not (tmp_path / "DONE").exists()
    )
    code, lines = train(capfd, recipe, tmp_path, "--config.num_steps=3")
    assert code == 0 and any("resuming after step 1" in line for line in lines)


def test_a_diverged_run_ends_with_its_code(capfd, recipe, tmp_path):
    # An infinite weight of the KL makes the first loss non-finite, and every one after it.
    code, lines = train(
        capfd, recipe, tmp_path, "--config.objective.beta=inf", "--config.num_steps=1000"
    )
    assert code == 76
    assert "not finite, for 20 steps in a row; 3 rollbacks to step 0 have not helped" in lines[-1]


def test_another_dataset_is_refused_until_it_is_forced(capfd, recipe, tmp_path):
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
