"""The newest step of a run with a complete checkpoint, found without JAX, for launchers.

python -m pipeline.training.checkpoints.newest_step WORKDIR

WORKDIR is the folder of a run, local or in a bucket. Prints -1 if there is no checkpoint. Takes
under a second on a local folder, where the command `strata` would import JAX first.
"""

import os
import sys

from pipeline.core.errors import ConfigError, StrataError
from pipeline.storage.paths import AnyPath, Path, as_path
from pipeline.storage.patience import patience
from pipeline.storage.small_files import parsed
from pipeline.training.checkpoints.step_folders import StepFolders

PATIENCE_S = 20.0


def newest_step(workdir: AnyPath) -> int:
    """Return the largest step whose checkpoint is complete, or -1 if there is none.

    Raises:
      ConfigError: the scheme of the path is not supported, or its client is not installed.
      OSError: the folder cannot be read.
    """
    step = StepFolders(_checkpoints(as_path(workdir, name="WORKDIR"))).newest()
    return -1 if step is None else step


def _checkpoints(workdir: Path) -> Path:
    """Return the folder of checkpoints, which the run's config may place elsewhere."""
    try:
        given = parsed((workdir / "config.json").read_bytes())["checkpoint"]["folder"]
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        given = ""
    return as_path(given) if given and isinstance(given, str) else workdir / "checkpoints"


def main(argv: list[str]) -> int:
    """Run the command of the module's docstring and return its exit code."""
    if len(argv) != 1:
        print("newest_step: give one folder, the WORKDIR of a run", file=sys.stderr)
        return ConfigError.exit_code
    try:
        with patience(PATIENCE_S):
            print(newest_step(argv[0]))
    except StrataError as error:
        print(f"newest_step: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"newest_step: {os.fspath(argv[0])}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
