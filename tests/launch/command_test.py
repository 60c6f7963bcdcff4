"""The command that launchers run: all take it in both forms, and reject what cannot work."""

import re
import shlex
import subprocess

import pytest
import yaml
from launchers import LAUNCH, ROOT, Fakes, run

from pipeline.cli import COMMANDS

RECIPE = "configs/quickstart/digits.py"
TPU = ["--name", "t", "--zone", "us-east5-a"]
POD = ["--name", "j", "--image", "i", "--accelerator", "a"]
XPK = ["--cluster", "c", "--workload", "w", "--image", "i"]
# Each launcher for a run of one process, and its flag for several.
LAUNCHERS = {
    "local/run.sh": ([], ["-n", "2"]),
    "slurm/submit.sh": (["--logs", "/shared/logs"], ["--nodes", "2"]),
    "gke/submit.sh": (["--kind", "gpu", *POD], ["--nodes", "2"]),
    "xpk/submit.sh": ([*XPK, "--tpu-type", "v5p-8"], ["--slices", "2"]),
    "tpu_vm/babysit.sh": ([*TPU, "--type", "v5p-8"], ["--type", "v5p-128"]),
}


def command(script: str, *flags: str) -> list[str]:
    """Return the words that a dry run would start."""
    done = run(script, *LAUNCHERS[script][0], "--dry-run", *flags)
    assert done.returncode == 0, done.stderr
    if script.startswith("gke"):
        (job,) = next(iter(yaml.safe_load_all(done.stdout)))["spec"]["replicatedJobs"]
        (container,) = job["template"]["spec"]["template"]["spec"]["containers"]
        words = container["command"]
    elif script.startswith("slurm"):
        words = shlex.split(re.search(r"^command=\((.*)\)$", done.stdout, re.MULTILINE)[1])
    else:
        words = shlex.split(done.stdout.splitlines()[-1])
        (*_, inside) = [word for word in words if word.startswith("--command=")] or [""]
        words = shlex.split(inside.removeprefix("--command=")) or words
    return words[max(at for at, word in enumerate(words) if word == "strata") :]


@pytest.mark.parametrize("script", LAUNCHERS)
def test_both_forms_of_train_and_any_other_command_are_started(script):
    job = ["--config", str(ROOT / RECIPE), "--workdir", "/runs/a"]
    if script.startswith("tpu_vm"):
        job[1] = RECIPE  # in the checkout
    flags = command(script, *job, "--", "--config.note=a 'b'")
    assert flags == ["strata", "train", *map("=".join, zip(job[::2], job[1::2])), flags[-1]]
    assert flags[-1] == "--config.note=a 'b'"
    whole = ["strata", "train", *job, "--config.note=a 'b'"]
    assert command(script, "--", *whole) == whole
    other = ["strata", "data", "pack", "/data/a b", "--out", "/data/packed"]
    assert command(script, "--", *other) == other


@pytest.mark.parametrize("script", LAUNCHERS)
@pytest.mark.parametrize(
    "flags, message",
    [
        (
            ["--", "strata", "trian", "--config", RECIPE],
            "'strata trian' is no command: train, eval",
        ),
        (["--", "strata"], "'strata ' is no command"),
        (["--", "strata", "train", "--config", RECIPE], "--workdir is missing in the command"),
        (["--", "strata", "train", "--workdir", "/a"], "--config is missing in the command"),
        (
            ["--config", RECIPE, "--", "strata", "train", "--config", "other", "--workdir", "/a"],
            "give it once",
        ),
        (["--config", RECIPE, "--workdir", "/a", "--", "--workdir=/b"], "comes before --"),
        (
            ["--", "strata", "train", "--config", RECIPE, "--workdir", "/a", "--process_id=1"],
            "set by the launcher",
        ),
        (["several", "--", "strata", "eval", "--workdir", "/a"], "runs in one process"),
    ],
)
def test_what_cannot_work_is_rejected_at_submission(script, flags, message, tmp_path):
    one, several = LAUNCHERS[script]
    fakes = Fakes(tmp_path, "sbatch", "kubectl", "xpk", "gcloud", "strata")
    flags = [*several, *flags[1:]] if flags[0] == "several" else flags
    done = run(script, *one, *flags, **fakes.environment)
    assert done.returncode == 2 and message in done.stderr, done
    assert len(done.stderr.splitlines()) == 1 and done.stdout == "" and fakes.calls() == []


def test_only_programs_of_strata_are_submitted():
    for script, (flags, _) in LAUNCHERS.items():
        done = run(script, *flags, "--dry-run", "--", "python", "x.py")
        if script == "local/run.sh":
            assert done.returncode == 0 and done.stdout.endswith("python x.py\n")
        else:
            assert done.returncode == 2 and "after -- come strata COMMAND" in done.stderr


def test_the_commands_are_those_of_strata():
    shown = run("local/run.sh", "--", "strata", "nothing").stderr
    assert shown.rstrip().endswith(f"is no command: {', '.join(COMMANDS)}")


def test_slurm_makes_the_paths_of_a_command_absolute():
    flags = ["--", "strata", "train", "--config", f"{RECIPE}:tiny", "--workdir=runs/a"]
    done = run("slurm/submit.sh", "--nodes", "8", "--dry-run", *flags)
    assert f"train --config {ROOT}/{RECIPE}:tiny --workdir={ROOT}/runs/a)" in done.stdout
    assert "--job-name=strata-a" in done.stdout and f"logs={ROOT}/runs/a.launch" in done.stdout


def test_a_command_without_a_workdir_is_restarted_up_to_the_limit(tmp_path):
    script = f"source {LAUNCH}/verdict.sh; may_restart '' {tmp_path}/n 2 1"
    codes = [subprocess.run(["bash", "-c", script]).returncode for _ in range(3)]
    assert codes == [0, 0, 1]


def test_only_train_is_told_how_to_join_other_processes(tmp_path):
    program = tmp_path / "strata"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    environment = {"STRATA_COORDINATOR": "127.0.0.1:1", "STRATA_NUM_PROCESSES": "1"}
    train, other = (run("entry.sh", program, verb, **environment) for verb in ("train", "eval"))
    assert "--process_id=0" in train.stdout and other.stdout == "eval\n"
