"""Tests of launch/verdict.sh: the exit code of a run, and whether it restarts."""

import os
import subprocess
import sys

import pytest
from bucket_servers import BUCKET
from launchers import LAUNCH, Fakes

from pipeline.core import errors
from pipeline.storage.paths import as_path


def verdicts(call: str, **environment: str) -> subprocess.CompletedProcess:
    script = f"set -euo pipefail; source {LAUNCH}/verdict.sh; {call}"
    environment = os.environ | {"STRATA_PYTHON": sys.executable} | environment
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment)


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


def complete(workdir, *steps: int) -> None:
    """Make folders that look like complete checkpoints."""
    for step in steps:
        path = as_path(workdir) / "checkpoints" / str(step)
        path.mkdir(parents=True)
        (path / "manifest.json").write_text("{}")


@pytest.mark.parametrize("place", ["local", "gs", "s3"])
def test_the_newest_checkpoint_is_complete_and_has_the_largest_number(
    place, tmp_path, bucket_servers
):
    workdir = tmp_path if place == "local" else f"{place}://{BUCKET}/{tmp_path.name}"
    assert verdicts(f"newest_step {workdir}").stdout == "-1\n"
    complete(workdir, 9, 10)
    unfinished = as_path(workdir) / "checkpoints"
    for name in ("100.partial", "200.damaged", "11"):
        (unfinished / name / "params").mkdir(parents=True)
        (unfinished / name / "params/data").write_text("")
    done = verdicts(f"newest_step {workdir}/")
    assert (done.stdout, done.stderr) == ("10\n", "")


def test_without_the_packages_local_folders_are_listed_and_gs_by_gcloud(tmp_path):
    complete(tmp_path, 9, 10)
    (tmp_path / "checkpoints/11").mkdir()
    assert verdicts(f"newest_step {tmp_path}", STRATA_PYTHON="false").stdout == "10\n"
    fakes = Fakes(tmp_path, "gcloud")
    without = fakes.environment | {"STRATA_PYTHON": "false"}
    names = [f"gs://b/run/checkpoints/{step}/manifest.json" for step in (7, 12, 9)]
    fakes.answer("gcloud", "printf '%s\n' " + " ".join(names))
    assert verdicts("newest_step gs://b/run/", **without).stdout == "12\n"
    (call,) = fakes.calls()
    assert call["arguments"] == ["storage", "ls", "gs://b/run/checkpoints/*/manifest.json"]
    fakes.answer("gcloud", "echo 'One or more URLs matched no objects.' >&2; exit 1")
    assert verdicts("newest_step gs://b/run", **without).stdout == "-1\n"


def test_a_folder_that_cannot_be_read_is_reported_and_counts_as_no_progress(tmp_path):
    fakes = Fakes(tmp_path, "gcloud", "broken")
    fakes.answer("gcloud", "echo 'ERROR: connection reset' >&2; exit 1")
    fakes.answer(
        "broken", "echo Traceback >&2; echo 'newest_step: gs://b/run: no answer' >&2; exit 1"
    )
    environment = fakes.environment | {"STRATA_PYTHON": "broken"}
    done = verdicts("newest_step gs://b/run", **environment)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == "newest_step: gs://b/run: no answer\n"
    count = tmp_path / "restarts"
    count.write_text("20 1\n")
    codes = [
        verdicts(f"may_restart gs://b/run {count} 2 134", **environment).returncode for _ in "ab"
    ]
    assert codes == [0, 1] and count.read_text() == "20 2\n"


def test_restarts_without_a_checkpoint_end_and_preemptions_do_not_count(tmp_path):
    count = tmp_path / "state" / "restarts"

    def may(code: int) -> bool:
        done = verdicts(f"may_restart {tmp_path} {count} 2 {code}")
        assert done.returncode in (0, 1) and not done.stderr
        assert (done.stdout == "") == (done.returncode == 0)
        return done.returncode == 0

    assert [may(134), may(70), may(137)] == [True, True, False]
    assert may(75) and not may(1)
    complete(tmp_path, 10)
    assert [may(134), may(75), may(134), may(134)] == [True, True, True, False]
    count.write_text("garbage\n")
    assert may(134)
