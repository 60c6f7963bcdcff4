"""Every command that the launchers' pages and help show works, as far as it goes without a cluster.

Each is rendered by its launcher's --dry-run.
"""

import re
import shlex
import subprocess

import pytest
import yaml
from launchers import LAUNCH, ROOT

PAGES = [ROOT / "docs" / "launching.md", LAUNCH / "tpu_vm" / "README.md"]
RECIPE = "configs/quickstart.py"
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
    r"-n N -- COMMAND\.\.\.": f"-n 2 -- strata train --config {RECIPE} --workdir run",
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
