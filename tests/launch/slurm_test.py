"""Tests on a real SLURM of two nodes on this machine, run by `make slurm-test`."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest
from launchers import run, strata_program, tiny_recipe

pytestmark = [
    pytest.mark.slow,
    pytest.mark.slurm,
    pytest.mark.skipif(
        os.geteuid() != 0, reason="needs root, to install and start slurmctld, slurmd and munge"
    ),
]
CLUSTER = str(pathlib.Path(__file__).parent / "slurm_cluster.sh")

# Stands in for strata: each process follows `plan` in the workdir's parent, and logs its node.
PLAN = """#!/usr/bin/env bash
for word in "$@"; do case $word in --workdir=*) workdir=${word#*=} ;; esac; done
restarts=${SLURM_RESTART_COUNT:-0}
echo "process $SLURM_PROCID of $SLURM_NTASKS restarts $restarts devices ${JAX_LOCAL_DEVICE_IDS-}"
source "$(dirname "$workdir")/plan"
"""


class Slurm:
    """Commands of the cluster, for one job at a time."""

    def __init__(self, folder: pathlib.Path):
        self.environment = {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
            "XLA_FLAGS": "",
        }

    def __call__(self, *command: str) -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | self.environment, timeout=60
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def submit(self, *flags: object) -> str:
        done = run("slurm/submit.sh", *flags, **self.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[-1]

    def field(self, job: str, name: str) -> str:
        found = re.search(rf"\b{name}=(\S*)", self("scontrol", "show", "job", job))
        assert found is not None
        return found[1]

    def wait(self, job: str, *states: str, timeout: float = 120) -> None:
        deadline = time.monotonic() + timeout
        while (state := self.field(job, "JobState")) not in states:
            assert time.monotonic() < deadline, f"job {job} is {state}, not {states}"
            time.sleep(0.3)

    def start_now(self, job: str) -> None:
        """Release a requeued job, which would wait for minutes."""
        self.wait(job, "PENDING")
        self("scontrol", "update", f"jobid={job}", "StartTime=now")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    # munge needs a folder that only root can write, and sockets need short names.
    folder = pathlib.Path(
        subprocess.run(
            ["mktemp", "-d", "/tmp/slurm.XXXXXX"], capture_output=True, text=True
        ).stdout[:-1]
    )
    environment = os.environ | {"XLA_FLAGS": ""}
    try:
        done = subprocess.run(
            [CLUSTER, "start", str(folder)], capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
        yield Slurm(folder)
    finally:
        subprocess.run([CLUSTER, "stop", str(folder)], check=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def planned(slurm, tmp_path):
    """Submit a job whose two processes follow a plan; return the job and its folder of logs."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "strata").write_text(PLAN)
    (tmp_path / "bin" / "strata").chmod(0o755)
    (tmp_path / "recipe.py").touch()
    jobs = []

    def submit(plan: str, *flags: object) -> tuple[str, pathlib.Path]:
        (tmp_path / "plan").write_text(plan)
        place = [
            "--config",
            tmp_path / "recipe.py",
            "--workdir",
            tmp_path / "run",
            "--venv",
            tmp_path,
        ]
        jobs.append(slurm.submit("--nodes", "2", *place, *flags))
        return jobs[-1], tmp_path / "run.launch"

    yield submit
    for job in jobs:
        with contextlib.suppress(AssertionError):
            slurm("scancel", job)


def wait_for(condition, timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def output(logs: pathlib.Path, job: str, task: int) -> str:
    path = logs / f"{job}-{task}-{task}.log"
    return path.read_text() if path.exists() else ""


def codes(logs: pathlib.Path, job: str, attempt: int) -> list[int]:
    return [int(path.read_text()) for path in sorted((logs / f"codes-{job}-{attempt}").iterdir())]


def test_strata_is_preempted_requeued_and_resumes(slurm, tmp_path):
    workdir, logs = tmp_path / "run", tmp_path / "run.launch"
    place = [
        "--config",
        tiny_recipe(tmp_path),
        "--workdir",
        workdir,
        "--venv",
        strata_program(tmp_path).parent,
    ]
    steps = ["--config.num_steps=400", "--config.checkpoint.every=10000"]
    job = slurm.submit("--nodes", "2", "--grace", "60", *place, "--", *steps)
    wait_for(lambda: "step 20/400" in output(logs, job, 0), timeout=180)

    slurm("scancel", "--signal=TERM", "--batch", job)
    slurm.start_now(job)
    assert codes(logs, job, 0) == [75, 75]  # both processes, which share one checkpoint:
    (saved,) = [
        int(path.name) for path in (workdir / "checkpoints").iterdir() if path.name.isdigit()
    ]
    assert 20 <= saved < 400 and not (workdir / "DONE").exists()
    assert "ended with 75: requeued" in (logs / f"{job}.log").read_text()

    slurm.wait(job, "COMPLETED", timeout=240)
    assert slurm.field(job, "Restarts") == "1" and slurm.field(job, "ExitCode") == "0:0"
    assert codes(logs, job, 1) == [0, 0]
    assert f"resuming after step {saved}" in output(logs, job, 0) and "of 2 processes" in output(
        logs, job, 0
    )
    assert (workdir / "DONE").exists()
    numbers = [
        json.loads(line)["step"] for line in (workdir / "metrics.jsonl").read_text().splitlines()
    ]
    assert numbers == sorted(set(numbers)) and numbers[-1] == 400


def test_a_fatal_code_wins_over_its_peers_abort(slurm, planned):
    job, logs = planned(
        "if ((SLURM_PROCID == 1)); then exit 65; fi; sleep 1; kill -ABRT $$", "--grace", "5"
    )
    slurm.wait(job, "FAILED")
    assert codes(logs, job, 0) == [134, 65] and slurm.field(job, "ExitCode") == "65:0"
    assert slurm.field(job, "Restarts") == "0"
    assert "ended with 65: not started again" in (logs / f"{job}.log").read_text()


def test_a_process_that_ignores_term_is_killed_and_restarts_end(slurm, planned):
    deaf = "trap '' TERM; echo up; while :; do sleep 0.1; done"
    job, logs = planned(deaf, "--grace", "2", "--max-restarts", "1")
    for attempt in range(2):
        wait_for(lambda count=attempt + 1: output(logs, job, 1).count("up\n") == count)
        slurm("scancel", "--signal=TERM", "--batch", job)
        if attempt == 0:
            slurm.start_now(job)
    slurm.wait(job, "FAILED")
    assert codes(logs, job, 0) == codes(logs, job, 1) == [137, 137]
    assert "is still there 2 s after TERM: killed" in output(logs, job, 0)
    assert "1 restarts in a row brought no checkpoint" in (logs / f"{job}.log").read_text()


def test_term_before_the_processes_are_up_still_reaches_them(slurm, planned):
    job, logs = planned("trap 'exit 75' TERM; while :; do sleep 0.1; done", "--grace", "30")
    slurm.wait(job, "RUNNING")
    wait_for(
        lambda: (
            (logs / f"{job}.log").exists() and "attempt 0: on" in (logs / f"{job}.log").read_text()
        )
    )
    slurm("scancel", "--signal=TERM", "--batch", job)
    slurm.wait(job, "PENDING")
    assert "requeued" in (logs / f"{job}.log").read_text()


def test_slurms_own_requeue_resumes_too(slurm, planned):
    job, logs = planned("((restarts)) && exit 0; echo up; sleep 1000", "--grace", "5")
    wait_for(lambda: "up\n" in output(logs, job, 0))
    slurm("scontrol", "requeue", job)
    slurm.start_now(job)
    slurm.wait(job, "COMPLETED")
    assert slurm.field(job, "Restarts") == "1" and "process 1 of 2 restarts 1" in output(
        logs, job, 1
    )


def test_a_workdir_has_one_job_at_a_time(slurm, planned):
    first, logs = planned("echo up; sleep 1000", "--grace", "5")
    second, _ = planned("echo up; sleep 1000", "--grace", "5")
    wait_for(lambda: "up\n" in output(logs, first, 0))
    assert (
        slurm.field(second, "JobState") == "PENDING"
        and slurm.field(second, "Reason") == "Dependency"
    )
