"""Tests of launch/entry.sh: exit codes, TERM followed by KILL, and the flags that it adds."""

import os
import signal
import subprocess
import sys
import time

import pytest
from launchers import LAUNCH, run

ENTRY = str(LAUNCH / "entry.sh")


@pytest.mark.parametrize("code", [0, 1, 2, 65, 70, 75, 76, 130])
def test_the_exit_code_is_the_commands(code):
    assert run("entry.sh", "bash", "-c", f"exit {code}").returncode == code


@pytest.mark.parametrize(
    "number, code", [(signal.SIGABRT, 134), (signal.SIGKILL, 137), (signal.SIGSEGV, 139)]
)
def test_a_signals_exit_code_is_the_shells(number, code, tmp_path):
    done = run(
        "entry.sh",
        "bash",
        "-c",
        f"kill -{int(number)} $$",
        STRATA_CODES=str(tmp_path),
        SLURM_PROCID="3",
    )
    assert done.returncode == code
    assert [path.name for path in tmp_path.iterdir()] == ["3"] and (
        tmp_path / "3"
    ).read_text() == f"{code}\n"


def test_a_missing_command():
    assert run("entry.sh", "no-such-program-here").returncode == 127


def started(script: str, entry: tuple[str, ...] = (ENTRY,), **environment: str) -> subprocess.Popen:
    """Start a bash script through entry.sh, and return when it has printed "up"."""
    process = subprocess.Popen(
        [*entry, "bash", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_the_command_and_wait_for_it(number):
    name = number.name.removeprefix("SIG")
    # A shell cannot trap a signal that was ignored at its start, as SIGINT is in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = started(
        f"trap 'sleep 1; exit 75' {name}; echo up; while :; do sleep 0.05; done", STRATA_GRACE="30"
    )
    process.send_signal(number)
    time.sleep(0.3)
    process.send_signal(number)  # schedulers may repeat a signal
    assert process.wait(timeout=300) == 75


def test_a_command_that_ignores_term_is_killed_with_its_children_after_the_grace():
    process = started(
        "trap '' TERM; sleep 1000 & echo up; echo $! >&2; wait; sleep 1000", STRATA_GRACE="1"
    )
    assert process.stderr is not None
    worker = int(process.stderr.readline())
    before = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=300) == 137
    assert time.monotonic() - before > 0.9
    assert "still there 1 s after TERM: killed" in process.stderr.read()
    with pytest.raises(ProcessLookupError):
        for _ in range(600):
            os.kill(worker, 0)
            time.sleep(0.1)


@pytest.mark.parametrize(
    "answer, grace_s, code", [("trap 'exit 75' TERM", 200, 75), ("trap '' TERM", 1, 137)]
)
def test_a_signal_before_the_process_id_is_known_is_passed_on(answer, grace_s, code, tmp_path):
    slow = tmp_path / "entry.sh"
    slow.write_text(
        (LAUNCH / "entry.sh").read_text().replace("\nchild=$!\n", "\nsleep 1\nchild=$!\n")
    )
    assert "\nsleep 1\nchild=$!\n" in slow.read_text()
    script = f"{answer}; echo up; while :; do sleep 0.05; done"
    process = started(script, entry=("bash", str(slow)), STRATA_GRACE=str(grace_s))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=300) == code


def test_the_grace_timer_ends_with_the_command():
    process = started(
        "trap 'exit 75' TERM; echo up; while :; do sleep 0.05; done", STRATA_GRACE="77777"
    )
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=300) == 75
    left = subprocess.run(["pgrep", "-f", "^sleep 77777$"], capture_output=True, text=True)
    assert left.stdout == ""


def test_the_process_number_becomes_flags():
    places = dict(
        STRATA_COORDINATOR="job-0.job:8476", STRATA_NUM_PROCESSES="4", JOB_COMPLETION_INDEX="2"
    )
    done = run("entry.sh", "echo", "strata", "train", **places)
    assert done.stdout.split() == [
        *["strata", "train"],
        *["--coordinator_address=job-0.job:8476", "--num_processes=4", "--process_id=2"],
    ]
    assert run("entry.sh", "true", STRATA_COORDINATOR="a:1").returncode == 2


@pytest.mark.parametrize("name", ["STRATA_GRACE", "STRATA_SETTLE"])
def test_bad_environment_is_one_line(name):
    done = run("entry.sh", "echo", "started", **{name: "soon"})
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("end, code", [("kill -ABRT $$", 134), ("exit 1", 1)])
def test_a_process_that_may_have_lost_a_peer_waits_before_it_exits(end, code):
    before = time.monotonic()
    assert run("entry.sh", "bash", "-c", end, STRATA_SETTLE="1").returncode == code
    assert time.monotonic() - before >= 1


@pytest.mark.parametrize("code", [0, 2, 65, 75])
def test_other_exit_codes_do_not_wait(code):
    before = time.monotonic()
    assert (
        run("entry.sh", "bash", "-c", f"exit {code}", timeout=400, STRATA_SETTLE="300").returncode
        == code
    )
    assert time.monotonic() - before < 200


def test_xla_flags_that_this_jaxlib_does_not_know_are_left_out():
    flags = "--xla_cpu_enable_fast_math=false --xla_no_such_flag=1"
    environment = dict(XLA_FLAGS="", STRATA_XLA_FLAGS=flags, STRATA_PYTHON=sys.executable)
    done = run("entry.sh", "bash", "-c", 'echo "$XLA_FLAGS"', timeout=120, **environment)
    assert done.stdout.split() == ["--xla_cpu_enable_fast_math=false"]
    assert "does not know --xla_no_such_flag=1" in done.stderr
