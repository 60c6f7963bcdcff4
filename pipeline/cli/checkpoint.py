"""List or verify checkpoints, without building a model.

strata checkpoint list   D [--json F]
strata checkpoint verify D [--step N] [--json F]

D is the folder of a run or a folder of checkpoints. `verify` reads every array and compares it
with its checksum, and exits with 65 if a checkpoint is damaged.

Example:
  strata checkpoint list runs/digits
"""

import datetime
from collections.abc import Mapping
from typing import Any

from absl import flags

from pipeline.cli import flags as cli_flags
from pipeline.core.errors import CheckpointError, ConfigError, DamagedCheckpoint
from pipeline.storage.paths import File, Path, as_path, files, is_number

SUBCOMMANDS = ("list", "verify")


def run(argv: list[str]) -> int:
    """Run the command of the module's docstring."""
    values = cli_flags.new()
    flags.DEFINE_integer("step", None, "Checkpoint to verify; all by default.", flag_values=values)
    cli_flags.define_json(values)
    rest = cli_flags.parse(values, argv, __doc__)
    if rest is None:
        return 0
    if len(rest) != 2 or rest[0] not in SUBCOMMANDS:
        raise ConfigError("give an action: strata checkpoint list D, or strata checkpoint verify D")
    verb, folder = rest
    cli_flags.check_inputs([folder], "D")
    if verb == "list" and values.step is not None:
        raise ConfigError("--step is for verify, not for list")
    checkpoints = _open(folder)
    result = listing(checkpoints) if verb == "list" else verification(checkpoints, values.step)
    _print(result, verb, values.json)
    cli_flags.write_json(result, values.json)
    return 0 if verb == "list" or result["good"] else CheckpointError.exit_code


def listing(checkpoints: Any) -> dict[str, Any]:
    """Describe the folder: {checkpoints: [{name, state, bytes, written, metrics}]}, oldest first.

    `state` is "damaged", "unfinished" or "whole" (judged by its files; `verify` reads the arrays).
    """
    entries, found = [], _files_of(checkpoints.folder)
    for name, state in checkpoints.steps_there.states().items():
        inside = found.get(name, [])
        written = max((file.modified for file in inside), default=0.0)
        entry: dict[str, Any] = {
            "name": name,
            "state": state,
            "bytes": sum(file.size for file in inside),
            "metrics": {},
            "written": datetime.datetime.fromtimestamp(written).isoformat(timespec="seconds"),
        }
        if state == "complete":
            try:
                entry |= {"state": "whole", "metrics": checkpoints.manifest(int(name))["metrics"]}
            except DamagedCheckpoint as error:
                entry |= {"state": "damaged", "why": str(error)}
        entries.append(entry)
    return {"folder": str(checkpoints.folder), "checkpoints": entries}


def verification(checkpoints: Any, step: int | None = None) -> dict[str, Any]:
    """Compare every array with its checksum: {good, steps: [{step, good, arrays, why}]}.

    Raises:
      CheckpointError: there is no checkpoint, or not this one.
    """
    steps = checkpoints.steps() if step is None else [step]
    if not steps:
        raise CheckpointError(f"{checkpoints.folder} has no checkpoint")
    results = []
    for each in steps:
        try:
            arrays = sum(len(part) for part in checkpoints.arrays(each).values())
            results.append({"step": each, "good": True, "arrays": arrays})
        except DamagedCheckpoint as error:
            results.append({"step": each, "good": False, "why": str(error)})
    return {
        "folder": str(checkpoints.folder),
        "good": all(result["good"] for result in results),
        "steps": results,
    }


def _open(folder: str) -> Any:
    from pipeline.training import workdir as workdirs
    from pipeline.training.checkpoints.store import Checkpoints

    if (as_path(folder) / "config.json").exists():
        given = workdirs.load(folder)["checkpoint"]["folder"]
        folder = workdirs.checkpoint_folder(folder, given)
    checkpoints = Checkpoints(folder)
    if not checkpoints.folder.is_dir():
        raise ConfigError(f"{folder} is neither a run nor a folder of checkpoints")
    return checkpoints


def _print(result: Mapping[str, Any], verb: str, json_path: str | None) -> None:
    stream = cli_flags.report_stream(json_path)
    if verb == "list":
        for entry in result["checkpoints"]:
            metrics = "  ".join(f"{name} {value:.4g}" for name, value in entry["metrics"].items())
            size = f"{entry['bytes'] / 1e6:10.1f} MB"
            line = f"{entry['name']:<12} {entry['state']:<10} {size}  {entry['written']}"
            print(f"{line}  {metrics}".rstrip(), file=stream)
    else:
        for each in result["steps"]:
            print(
                f"{each['step']}: good, {each['arrays']} arrays" if each["good"] else each["why"],
                file=stream,
            )


def _files_of(folder: Path) -> dict[str, list[File]]:
    """Return the files of each checkpoint by its name; a bucket is listed once."""
    grouped: dict[str, list[File]] = {}
    for name, file in files(folder).items():
        checkpoint, slash, _ = name.partition("/")
        if slash and is_number(checkpoint.partition(".")[0]):
            grouped.setdefault(checkpoint, []).append(file)
    return grouped
