"""Compile a run's steps, or a codec's programs, in a process of their own.

A compiler that aborts then ends only that process.

Compilers are C++ that may abort on an input that they do not expect, or be killed when memory runs
out. Their output goes to a file, which is kept if they fail.
"""

import json
import os
import pathlib
import pickle
import re
import signal
import subprocess
import sys
import tempfile
from typing import Any

from pipeline.build.outline import CodecOutline, RunOutline
from pipeline.core import errors, progress
from pipeline.core.errors import ConfigError, StrataError
from pipeline.planning import codec_compiling, compiling
from pipeline.planning import topology as topologies
from pipeline.planning.topology import Topology

# The line of a compiler's output that says what is wrong: a failed check, or an exception.
_CAUSE = re.compile(
    r"^F\d{4} .*|.*(?:Check failed|FATAL|LLVM ERROR).*|^[\w.]*(?:Error|Exception): .*"
)


def compile_stages(run: RunOutline, topology: Topology, *, quick: bool) -> list[dict[str, Any]]:
    """Return the figures of `pipeline.planning.compiling.compile_stages`, from another process.

    Raises:
      ConfigError: what that function raises, or the compiler failed; the message has the reason and
        the file with its output.
    """
    return _elsewhere(run, topology, quick, "the training step")


def compile_codec(outline: CodecOutline, topology: Topology, *, quick: bool) -> dict[str, Any]:
    """Return what `pipeline.planning.codec_compiling.compile_codec` does, from another process.

    Raises:
      ConfigError: as `compile_stages`.
    """
    return _elsewhere(outline, topology, quick, "the decoder" if outline.decodes else "the encoder")


def _elsewhere(
    outline: RunOutline | CodecOutline, topology: Topology, quick: bool, what: str
) -> Any:
    """Return what `_figures` does in another process; `what` is compiled."""
    root = str(pathlib.Path(__file__).parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    handle, log = tempfile.mkstemp(prefix="strata-plan-", suffix=".log")
    with tempfile.TemporaryDirectory(prefix="strata-") as folder, os.fdopen(handle, "wb") as output:
        result = pathlib.Path(folder) / "result.json"
        with progress.task(f"compiling {what} for {topology.name}"):
            ended = subprocess.run(
                [sys.executable, "-m", "pipeline.planning.child", str(result)],
                input=pickle.dumps((outline, topology, quick)),
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        found = json.loads(result.read_text()) if result.exists() else None
    if found is None:
        raise ConfigError(
            f"--topology {topology.name}: the compiler {_ending(ended.returncode)}: "
            f"{_cause(pathlib.Path(log))}; its output is in {log}"
        )
    os.unlink(log)
    if "error" in found:
        raise getattr(errors, found["error"])(found["text"])
    return found["figures"]


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    memory = " (memory may have run out)" if -code == signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-code).name}{memory}"


def _cause(log: pathlib.Path) -> str:
    """Return the line of an output that names the cause, or else its last one."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    found = [line for line in lines if _CAUSE.match(line)]
    return (found[-1] if found else lines[-1])[:300] if lines else "it said nothing"


def _figures(outline: RunOutline | CodecOutline, topology: Topology, quick: bool) -> Any:
    devices = topologies.devices(topology)
    if isinstance(outline, CodecOutline):
        return codec_compiling.compile_codec(outline, topology, devices, quick=quick)
    return compiling.compile_stages(outline, topology, devices, quick=quick)


def main() -> None:
    """Compile what standard input describes, and write the figures to the file of `argv[1]`."""
    outline, topology, quick = pickle.load(sys.stdin.buffer)
    try:
        found: dict[str, Any] = {"figures": _figures(outline, topology, quick)}
    except StrataError as error:
        found = {"error": type(error).__name__, "text": str(error)}
    file = pathlib.Path(sys.argv[1])
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(found))
    partial.replace(file)


if __name__ == "__main__":
    main()
