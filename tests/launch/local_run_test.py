"""Tests of launch/local/run.sh: 2 x 2 devices train and are preempted; failures and restarts."""

import os
import signal
import subprocess

import pytest
from launchers import LAUNCH, run, strata_program, tiny_recipe

from pipeline.training.checkpoints.store import Checkpoints

RUN = str(LAUNCH / "local" / "run.sh")


@pytest.fixture(scope="module")
def strata(tmp_path_factory) -> dict[str, str]:
    """Return an environment in which `strata` runs this checkout."""
    folder = tmp_path_factory.mktemp("strata")
    path = f"{strata_program(folder)}:{os.environ['PATH']}"
    return {"PATH": path, "XLA_FLAGS": os.environ["ONE_DEVICE_XLA_FLAGS"]}


def train(recipe, workdir, *flags: str) -> list[str]:
    return [
        "-n",
        "2",
        "-d",
        "2",
        "--",
        "strata",
        "train",
        f"--config={recipe}",
        f"--workdir={workdir}",
        *flags,
    ]


@pytest.mark.slow
def test_two_processes_train_and_save_when_they_are_preempted(strata, tmp_path):
    workdir = tmp_path / "run"
    flags = [
        "--config.num_steps=100000",
        "--config.checkpoint.every=100000",
        "--config.log.every=5",
    ]
    command = [RUN, *train(tiny_recipe(tmp_path), workdir, *flags)]
    environment = os.environ | strata
    first = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    assert first.stdout is not None
    said = ""
    for line in first.stdout:
        said += line
        if "] step 5/" in line:
            first.send_signal(signal.SIGTERM)
            break
    rest = first.communicate(timeout=120)[0]
    assert first.returncode == 75, said + rest
    assert "mesh replica=1 x fsdp=4 x context=1" in said  # 2 processes with 2 devices each
    (saved,) = Checkpoints(workdir / "checkpoints").steps()
    assert 5 <= saved < 100000 and f"resumes after step {saved}" in said + rest


def test_a_bad_flag_of_the_command_ends_all(strata, tmp_path):
    done = run(
        "local/run.sh",
        *train(tiny_recipe(tmp_path), tmp_path / "run", "--config.batchsize=1"),
        **strata,
    )
    assert done.returncode == 2 and "did you mean 'batch_size'" in done.stderr
    assert not (tmp_path / "run").exists()


def test_one_failure_ends_the_others_and_its_code_wins():
    script = 'trap "" TERM; [[ $3 == --process_id=1 ]] && exit 65; while :; do sleep 0.1; done'
    done = run("local/run.sh", "-n", "3", "--grace", "1", "--", "bash", "-c", script, "x")
    assert done.returncode == 65
    assert "[0] entry.sh: process 0 is still there" in done.stderr


def test_it_restarts_until_restarts_bring_no_checkpoint(tmp_path):
    # Always ends with 134; the second attempt leaves a newer checkpoint than the first.
    script = f"echo attempt >>{tmp_path}/attempts; n=$(wc -l <{tmp_path}/attempts); "
    seven = tmp_path / "run/checkpoints/7"
    script += (
        f"[[ $n != 2 ]] || {{ mkdir -p {seven}; echo >{seven}/manifest.json; }}; kill -ABRT $$"
    )
    limits = ["--restarts", "2", "--workdir", tmp_path / "run"]
    done = run("local/run.sh", "-n", "1", *limits, "--", "bash", "-c", script)
    assert done.returncode == 134
    assert len((tmp_path / "attempts").read_text().splitlines()) == 4
    assert "2 restarts in a row brought no checkpoint newer than step 7" in done.stderr


@pytest.mark.parametrize("code, attempts", [(0, 1), (2, 1), (65, 1), (76, 1), (75, 3), (70, 3)])
def test_only_failures_that_a_restart_may_fix_are_restarted(code, attempts, tmp_path):
    script = (
        f"echo attempt >>{tmp_path}/attempts; n=$(wc -l <{tmp_path}/attempts); "
        f"((n < 3)) && exit {code}; exit 0"
    )
    limits = ["--restarts", "5", "--workdir", tmp_path / "run"]
    done = run("local/run.sh", *limits, "--", "bash", "-c", script)
    assert done.returncode == (code if attempts == 1 else 0)
    assert len((tmp_path / "attempts").read_text().splitlines()) == attempts


def test_a_dry_run_prints_each_process():
    done = run(
        "local/run.sh",
        "-n",
        "3",
        "-d",
        "4",
        "--dry-run",
        "--",
        "strata",
        "train",
        "--config=configs/quickstart/digits.py",
        "--workdir",
        "a b",
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 3 and all(
        "--xla_force_host_platform_device_count=4" in line for line in lines
    )
    assert lines[2].endswith("digits.py --workdir 'a b'") and "STRATA_PROCESS_ID=2" in lines[2]
