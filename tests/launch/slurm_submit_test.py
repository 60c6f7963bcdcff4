"""Tests of the batch script that launch/slurm/submit.sh writes; slurm_test.py runs one."""

import os
import subprocess

import pytest
from launchers import LAUNCH, ROOT, Fakes, run

RECIPE = str(ROOT / "configs" / "quickstart" / "digits.py")
JOB = ["--config", f"{RECIPE}:tiny", "--workdir", "/shared/run"]


def script(*arguments: object) -> str:
    done = run("slurm/submit.sh", "--dry-run", *arguments)
    assert done.returncode == 0, done.stderr
    parsed = subprocess.run(["bash", "-n"], input=done.stdout, capture_output=True, text=True)
    assert parsed.returncode == 0, parsed.stderr
    return done.stdout


def directives(text: str) -> list[str]:
    return [
        line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH")
    ]


def words_of(text: str, name: str) -> list[str]:
    """Return the words of an array that the script sets."""
    printed = f'set -- "${{{name}[@]}}"; printf "%s\\0" "$@"'
    body = text.replace('source "$launch/slurm/job.sh"', printed)
    done = subprocess.run(["bash", "-c", body], capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


def test_a_dry_run_needs_only_the_shape():
    text = script("--nodes", "8")
    assert "--nodes=8" in directives(text) and "--config=CONFIG" in words_of(text, "command")


def test_fields_of_every_job():
    text = script(*JOB, "--nodes", "2", "--grace", "240", "--", "--config.note=a 'b'")
    assert {
        *[
            "--nodes=2",
            "--ntasks-per-node=1",
            "--requeue",
            "--signal=B:TERM@300",
            "--open-mode=append",
        ],
        *["--dependency=singleton", "--job-name=strata-run", "--output=/shared/run.launch/%j.log"],
    } == set(directives(text))
    assert text.index("#SBATCH") < text.index("export")  # sbatch stops reading at the first command
    assert words_of(text, "command") == [
        *[
            str(LAUNCH / "entry.sh"),
            "strata",
            "train",
            f"--config={RECIPE}:tiny",
            "--workdir=/shared/run",
        ],
        "--config.note=a 'b'",
    ]
    srun = words_of(text, "srun")
    assert {
        "--kill-on-bad-exit=0",
        "--wait=240",
        "--output=/shared/run.launch/%j-%n-%t.log",
    } <= set(srun)
    assert "export STRATA_GRACE=240" in text and str(ROOT / ".venv" / "bin") in text


def test_processes_per_node_are_one_or_one_per_gpu():
    text = script(*JOB, "--gpus-per-node", "8")
    assert "--gpus-per-node=8" in directives(text)
    assert (
        "export JAX_LOCAL_DEVICE_IDS=0,1,2,3,4,5,6,7" in text
    )  # by default jax gives a process one GPU under SLURM
    text = script(*JOB, "--gpus-per-node", "4", "--tasks-per-node", "4")
    assert "--ntasks-per-node=4" in directives(text) and "JAX_LOCAL_DEVICE_IDS" not in text
    assert "JAX_LOCAL_DEVICE_IDS" not in script(*JOB)


def test_more_sbatch_flags():
    flags = [
        "--time",
        "1-00:00:00",
        "--partition",
        "gpu",
        "--account",
        "lab",
        "--qos",
        "low",
        "--cpus-per-task",
        "12",
    ]
    text = script(*JOB, *flags, "--job-name", "vdvae", "--sbatch", "--mem=0 --exclusive")
    assert {
        *[
            "--time=1-00:00:00",
            "--partition=gpu",
            "--account=lab",
            "--qos=low",
            "--cpus-per-task=12",
        ],
        *["--job-name=vdvae", "--mem=0", "--exclusive"],
    } <= set(directives(text))
    assert "--cpus-per-task=12" in words_of(text, "srun")  # srun no longer inherits it from the job


def test_pyxis_container():
    text = script(*JOB, "--container", "registry#me/strata:1", "--mounts", "/data,/a:/b")
    srun, command = words_of(text, "srun"), words_of(text, "command")
    assert "--container-image=registry#me/strata:1" in srun
    (mounts,) = [word for word in srun if word.startswith("--container-mounts=")]
    folders = [str(LAUNCH), "/shared/run.launch", "/shared", "/data"]
    assert mounts == "--container-mounts=" + ",".join(
        [*(f"{folder}:{folder}" for folder in folders), "/a:/b"]
    )
    assert command[0] == str(LAUNCH / "entry.sh") and ".venv" not in text


def test_apptainer_container():
    text = script(
        *JOB, "--container", "strata.sif", "--runtime", "apptainer", "--gpus-per-node", "1"
    )
    command = words_of(text, "command")
    assert command[:4] == ["apptainer", "exec", "--nv", "--bind"]
    assert command[5:7] == ["strata.sif", str(LAUNCH / "entry.sh")]
    assert "--nv" not in words_of(
        script(*JOB, "--container", "s.sif", "--runtime", "apptainer"), "command"
    )


def test_a_dry_run_shows_what_is_submitted(tmp_path):
    fakes = Fakes(tmp_path, "sbatch")
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "strata").touch(mode=0o755)
    flags = ["--config", RECIPE, "--workdir", tmp_path / "run", "--venv", venv, "--nodes", "3"]
    done = run("slurm/submit.sh", *flags, **fakes.environment)
    assert done.returncode == 0, done.stderr
    (call,) = fakes.calls()
    assert call["arguments"] == [] and call["piped"] == script(*flags)
    assert (tmp_path / "run.launch").is_dir() and not (
        tmp_path / "run"
    ).exists()  # strata needs it empty


@pytest.mark.parametrize(
    "workdir, expected", [("runs/a", f"{os.getcwd()}/runs/a"), ("/runs/a/", "/runs/a")]
)
def test_paths_are_absolute(workdir, expected):
    assert f"--workdir={expected}" in words_of(
        script("--config", RECIPE, "--workdir", workdir), "command"
    )


def test_a_bucket_needs_a_folder_for_logs():
    text = script("--config", RECIPE, "--workdir", "gs://bucket/run", "--logs", "/shared/logs")
    assert "--output=/shared/logs/%j.log" in directives(text)
