"""What the tests of the launchers share: how a script is run, and fake programs that note how they were called."""

import json
import os
import pathlib
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).parents[2]
LAUNCH = ROOT / "launch"

# Notes its arguments as a line of JSON in $CALLS, and answers with what $ANSWERS/NAME says, if that is there.
_FAKE = """#!{python}
import json, os, pathlib, subprocess, sys
name = pathlib.Path(sys.argv[0]).name
piped = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps(dict(name=name, arguments=sys.argv[1:], piped=piped)) + "\\n")
answer = pathlib.Path(os.environ["ANSWERS"]) / name
if answer.exists():
    sys.exit(subprocess.run(["bash", str(answer), *sys.argv[1:]]).returncode)
"""


def run(script: str | pathlib.Path, *arguments: object, timeout: float = 60, **environment: str):
    """Runs a script of launch/ and returns the finished process."""
    return subprocess.run(
        [str(LAUNCH / script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        env=os.environ | environment,
    )


class Fakes:
    """Programs on PATH in place of a scheduler's own."""

    def __init__(self, folder: pathlib.Path, *names: str):
        self.calls_file, self.answers = folder / "calls", folder / "answers"
        self.answers.mkdir()
        programs = folder / "programs"
        programs.mkdir()
        for name in names:
            (programs / name).write_text(_FAKE.format(python=sys.executable))
            (programs / name).chmod(0o755)
        self.environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "CALLS": str(self.calls_file),
            "ANSWERS": str(self.answers),
        }

    def answer(self, name: str, script: str) -> None:
        """Makes a program do as `script` (bash) says, with its arguments."""
        (self.answers / name).write_text(script)

    def calls(self) -> list[dict]:
        if not self.calls_file.exists():
            return []
        return [json.loads(line) for line in self.calls_file.read_text().splitlines()]


def manifest(*arguments: object) -> list[dict]:
    """The YAML documents of a dry run of gke/submit.sh."""
    done = run("gke/submit.sh", "--dry-run", *arguments)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def tiny_recipe(folder: pathlib.Path) -> pathlib.Path:
    """The smallest run, as a recipe's file."""
    path = folder / "tiny.py"
    training = ROOT / "tests" / "training"
    path.write_text(
        f"import sys\nsys.path.insert(0, {str(training)!r})\nimport tiny_run\n"
        "def get_config(arg=''):\n    return tiny_run.recipe()\n"
    )
    return path


def strata_program(folder: pathlib.Path) -> pathlib.Path:
    """A folder with `strata` of this checkout and this Python in it, as in a virtual environment's bin."""
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    program = bin_folder / "strata"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom pipeline.cli import main\nmain()\n"
    )
    program.chmod(0o755)
    return bin_folder
