"""Tests of launch/verdict.sh: the exit code of a run, and whether it restarts."""

import subprocess

import pytest
from launchers import LAUNCH

from pipeline.core import errors


def verdicts(call: str) -> subprocess.CompletedProcess:
    script = f"set -euo pipefail; source {LAUNCH}/verdict.sh; {call}"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True)


@pytest.mark.parametrize(
    "code, verdict",
    [
        (0, "done"),
        *[(code, "again") for code in (1, 70, 75, 134, 137, 139, 143)],
        *[(code, "stop") for code in (2, 65, 76, 126, 127, 130)],
    ],
)
def test_verdict(code, verdict):
    assert verdicts(f"verdict {code}").stdout.strip() == verdict


def test_the_codes_match_the_command():
    again = [errors.Preempted, errors.Hung]
    stop = [
        errors.ConfigError,
        errors.DataError,
        errors.CheckpointError,
        errors.Diverged,
        errors.Interrupted,
    ]
    for error in again + stop:
        expected = "again" if error in again else "stop"
        assert verdicts(f"verdict {error.exit_code}").stdout.strip() == expected, error


@pytest.mark.parametrize(
    "codes, winner",
    [
        ("0 0", 0),
        ("75 75", 75),
        ("134 65 134", 65),
        ("2 134", 2),
        ("75 76", 76),
        ("70 134", 70),
        ("137 134", 137),
        ("1 134 137", 1),
        ("75 134", 134),
        ("0 75", 75),
        ("130 75", 130),
        ("65 2", 2),
    ],
)
def test_a_fatal_code_wins_over_the_aborts_that_it_causes(codes, winner):
    assert verdicts(f"winner {codes}").stdout.strip() == str(winner)


def test_the_newest_checkpoint_has_the_largest_number(tmp_path):
    assert verdicts(f"newest_step {tmp_path}").stdout.strip() == "-1"
    for name in ("9", "10", "100.partial", "quarantined-200"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert verdicts(f"newest_step {tmp_path}").stdout.strip() == "10"


def test_restarts_without_a_checkpoint_end_and_preemptions_do_not_count(tmp_path):
    count = tmp_path / "state" / "restarts"

    def may(code: int) -> bool:
        done = verdicts(f"may_restart {tmp_path} {count} 2 {code}")
        assert done.returncode in (0, 1) and not done.stderr
        assert (done.stdout == "") == (done.returncode == 0)
        return done.returncode == 0

    assert [may(134), may(70), may(137)] == [True, True, False]
    assert may(75) and not may(1)
    (tmp_path / "checkpoints" / "10").mkdir(parents=True)
    assert [may(134), may(75), may(134), may(134)] == [True, True, True, False]
    count.write_text("garbage\n")
    assert may(134)
