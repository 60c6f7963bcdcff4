"""Helpers for tests of the launchers: run scripts, and fake programs that record their calls."""

import json
import os
import pathlib
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).parents[2]
LAUNCH = ROOT / "launch"

# Appends its arguments as a JSON line to $CALLS, and runs $ANSWERS/NAME if it exists.
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
    """Run a script of launch/ and return the finished process."""
    return subprocess.run(
        [str(LAUNCH / script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        env=os.environ | environment,
    )


class Fakes:
    """Fake programs on PATH in place of a scheduler's."""

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
        """Make a program run `script` (bash) with its arguments."""
        (self.answers / name).write_text(script)

    def calls(self) -> list[dict]:
        if not self.calls_file.exists():
            return []
        return [json.loads(line) for line in self.calls_file.read_text().splitlines()]


def manifest(*arguments: object) -> list[dict]:
    """Return the YAML documents of a dry run of gke/submit.sh."""
    done = run("gke/submit.sh", "--dry-run", *arguments)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def tiny_recipe(folder: pathlib.Path) -> pathlib.Path:
    """Write the recipe of a minimal run to a file."""
    path = folder / "tiny.py"
    path.write_text(
        f"import sys\nsys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})\nimport tiny_run\n"
        "def get_config(arg=''):\n    return tiny_run.recipe()\n"
    )
    return path


def strata_program(folder: pathlib.Path) -> pathlib.Path:
    """Return a bin folder with this checkout's `strata`, run by this Python without TensorBoard."""
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    program = bin_folder / "strata"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "sys.modules['tensorflow'] = None  # needed for TensorBoard only, slow\n"
        "from pipeline.cli import main\nmain()\n"
    )
    program.chmod(0o755)
    return bin_folder
