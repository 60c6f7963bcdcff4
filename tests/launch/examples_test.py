"""Every command that the launchers' pages and help show works, as far as it goes without a cluster.

Each is rendered by its launcher's --dry-run. The `strata train` inside is then run on a bucket's
emulator, with a minimal recipe in place of the one that it names.
"""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest
import yaml
from bucket_servers import BUCKET
from launchers import LAUNCH, ROOT, run, strata_program, tiny_recipe

from pipeline.storage.paths import as_path, sizes
from pipeline.training.checkpoints.newest_step import newest_step

PAGES = [ROOT / "docs" / "launching.md", LAUNCH / "tpu_vm" / "README.md"]
RECIPE = "configs/quickstart/digits.py"
# Placeholders of the help texts.
FILLED = {
    r"F\[:ARG\]": RECIPE,
    r"(?<=--workdir )D\b": "/shared/run",
    r"\bBUCKET/D\b": "bucket/run",
    r"(?<=--name )N\b": "t",
    r"(?<=--name )NAME\b": "in64",
    r"(?<=--workload )NAME\b": "in64",
    r"(?<=--zone )Z\b": "us-east5-a",
    r"(?<=--cluster )C\b": "c",
    r"\bIMAGE\b": "registry/strata",
    r"\bstrata COMMAND \.\.\.": f"strata train --config {RECIPE} --workdir /shared/run",
    r"\bPROGRAM \.\.\.": "true",
    r"(?<=--tpu-type )T\b": "v5p-128",
    r"(?<=--accelerator )A\b": "nvidia-h100-80gb",
    r" \[.*?\](?!\S)": "",
}
# What "..." stands for in the pages.
REST = {
    "gke/submit.sh": f"--name in64 --image i --config {RECIPE} --workdir gs://bucket/run",
    "slurm/submit.sh": f"--config {RECIPE} --workdir /shared/run",
}


def examples() -> list[str]:
    """Return the commands of the pages and of the scripts' help that start with launch/."""
    text = "\n".join(path.read_text() for path in PAGES)
    for path in sorted(LAUNCH.rglob("*.sh")):
        help_text = re.match(r"#!.*\n((?:#.*\n)*)", path.read_text())
        if help_text:
            text += "\n" + re.sub(r"^# ?", "  ", help_text[1], flags=re.MULTILINE)
    text = re.sub(r"\\\n\s*", "", text)
    found = re.findall(r"^ {3,}((?:[A-Z_]+=\S+ )?launch/\S+\.sh .*)$", text, re.MULTILINE)
    return sorted({each.strip() for each in found if "entry.sh" not in each})


def rendered(example: str) -> str:
    """Return what the command's dry run prints."""
    for placeholder, value in FILLED.items():
        example = re.sub(placeholder, value, example)
    script = re.search(r"launch/(\S+)", example)[1]
    example = example.replace(" ...", f" {REST.get(script, '')}")
    dry_run = re.sub(r"(launch/\S+)", r"\1 --dry-run", example, count=1)
    done = subprocess.run(["bash", "-c", dry_run], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, (dry_run, done.stderr)
    return done.stdout


def inner(output: str) -> list[str]:
    """Return the words of `strata train` in a dry run's output, or none."""
    if output.startswith("#!"):  # a batch script
        words = shlex.split(re.search(r"^command=\((.*)\)$", output, re.MULTILINE)[1])
    elif output.startswith("#"):  # manifests
        documents = list(yaml.safe_load_all(output))
        if documents[0]["kind"] != "JobSet":
            return []
        (job,) = documents[0]["spec"]["replicatedJobs"]
        (container,) = job["template"]["spec"]["template"]["spec"]["containers"]
        words = container["command"]
    else:
        words = shlex.split(output.splitlines()[-1])
        command = [word for word in words if word.startswith("--command=")]
        words = shlex.split(command[0].removeprefix("--command=")) if command else words
    starts = [at for at in range(len(words)) if words[at : at + 2] == ["strata", "train"]]
    return words[starts[0] :] if starts else []


@pytest.mark.parametrize("example", examples())
def test_every_example_is_rendered(example):
    output = rendered(example)
    words = inner(output)
    if "--config" in example:
        assert words[:2] == ["strata", "train"] and len(words) >= 4, output
    else:
        assert output.strip()


def test_the_examples_are_found():
    scripts = {re.search(r"launch/(\S+)", example)[1] for example in examples()}
    assert scripts == {
        *("local/run.sh", "slurm/submit.sh", "gke/submit.sh", "xpk/submit.sh"),
        *(f"tpu_vm/{step}.sh" for step in ("create", "setup", "run", "babysit", "logs", "delete")),
    }


def commands(recipe: pathlib.Path, workdir: str) -> list[list[str]]:
    """Return the distinct commands inside the examples, for another recipe and workdir."""
    found = set()
    for words in filter(None, (inner(rendered(example)) for example in examples())):
        line = shlex.join(words)
        line = re.sub(r"--config([ =])\S+", rf"--config\g<1>{recipe}", line)
        found.add(re.sub(r"--workdir([ =])\S+", rf"--workdir\g<1>{workdir}", line))
    return [shlex.split(line) for line in sorted(found)]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["gs", "s3"])
def test_the_command_inside_trains_and_resumes_in_a_bucket(scheme, bucket_servers, tmp_path):
    workdir = f"{scheme}://{BUCKET}/{tmp_path.name}"
    every = commands(tiny_recipe(tmp_path), workdir)
    assert len(every) == 2  # --workdir=D of the launchers, and --workdir D of local/run.sh
    path = f"{strata_program(tmp_path)}:{os.environ['PATH']}"
    environment = {"PATH": path, "XLA_FLAGS": os.environ["ONE_DEVICE_XLA_FLAGS"]}
    # As on two hosts, which share no disk; the second start is on another one.
    elsewhere = 'export TMPDIR=$0/$STRATA_PROCESS_ID; mkdir -p "$TMPDIR"; exec "$@"'
    for number, command in enumerate(every, start=1):
        hosts = tmp_path / f"hosts{number}"
        flags = [f"--config.num_steps={2 * number}", "--config.checkpoint.every=2"]
        place = ["-n", str(3 - number), "--", "bash", "-c", elsewhere, hosts]
        done = run("local/run.sh", *place, *command, *flags, timeout=240, **environment)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        assert newest_step(workdir) == 2 * number
        assert number == 1 or f"resuming after step {2 * number - 2}" in said
    assert as_path(f"{workdir}/DONE").exists() and "config.json" in sizes(as_path(workdir))
    lines = as_path(f"{workdir}/metrics.jsonl").read_text().splitlines()
    steps = [each["step"] for each in map(json.loads, lines) if "train" in each]
    assert steps == [1, 2, 3, 4]


def test_a_client_that_is_not_installed_is_named_in_one_line(tmp_path):
    hidden = "import sys; sys.modules['gcsfs'] = None; sys.path.insert(0, sys.argv.pop(1))"
    program = "from pipeline.cli import main; main()"
    command = [sys.executable, "-c", f"{hidden}; {program}", str(ROOT), "train"]
    flags = ["--config", str(tiny_recipe(tmp_path)), "--workdir", "gs://bucket/run"]
    done = subprocess.run([*command, *flags], capture_output=True, text=True)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "--workdir gs://bucket/run needs gcsfs: pip install 'strata[gcs]'" in done.stderr
