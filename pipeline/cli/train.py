"""Train a model. The same command resumes from the newest checkpoint.

strata train --config F[:arg] --workdir D [--config.a.b=v ...] [--force_config]
             [--coordinator_address HOST:PORT --num_processes N --process_id I]

Under SLURM, Open MPI and Kubernetes and on Cloud TPU, the processes of a run find each other.
Elsewhere, give each process the flags of the last line.

Example:
  strata train --config configs/vae/digits.py --workdir runs/digits
"""

import errno
import sys
import traceback
from typing import Any

from absl import flags

from pipeline.cli import flags as cli_flags
from pipeline.core.errors import (
    CheckpointError,
    ConfigError,
    Diverged,
    Hung,
    Interrupted,
    Preempted,
    StrataError,
)
from pipeline.storage.paths import as_path, is_remote

_MOST_SECONDS = 10**6  # sockets and JAX take no much longer times
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run(argv: list[str]) -> int:
    """Run the command of the module's docstring."""
    values = cli_flags.new()
    cli_flags.define_config(values, argv)
    _define_run(values)
    _define_processes(values)
    rest = cli_flags.parse(values, argv, __doc__)
    if rest is None:
        return 0
    if rest:
        raise ConfigError(f"there is no argument {rest[0]!r}: see strata train --help")
    config = cli_flags.config_of(values)
    workdir = cli_flags.required(values, "workdir")
    as_path(workdir, name="--workdir")

    from pipeline.training.runtime import malloc

    malloc.limit()

    from pipeline.training.checkpoints import orbax_saves
    from pipeline.training.runtime import distributed

    group = distributed.initialize(
        values.coordinator_address,
        values.num_processes,
        values.process_id,
        timeout_s=values.initialization_timeout,
        heartbeat_s=values.heartbeat_timeout,
    )
    try:
        _train(config, workdir, values.force_config)
    except StrataError as error:
        if group is None:
            raise
        # Print first: other processes may be waiting for this one, and leaving can take a while.
        if group.process_id == 0 or not _is_shared(error):
            print(f"strata train: {error}", file=sys.stderr)
        distributed.leave(error.exit_code, wait_s=50 if _is_shared(error) else 5)
    except BaseException as error:
        if group is None:
            raise
        if _is_lost_peer(error):
            reason = str(error).splitlines()[0][:200]
            print(f"strata train: lost another process of the run: {reason}", file=sys.stderr)
            distributed.leave(Hung.exit_code, wait_s=5)
        if isinstance(error, OSError) and error.filename is not None and error.strerror:
            print(f"strata train: {error.filename}: {error.strerror}", file=sys.stderr)
            distributed.leave(ConfigError.exit_code, wait_s=5)
        traceback.print_exc()
        distributed.leave(1, wait_s=5)
    if group is not None and orbax_saves.are_left_behind():
        distributed.leave(0, wait_s=60)
    distributed.shutdown()
    return 0


def _train(config: Any, workdir: str, force_config: bool) -> None:
    from pipeline import build
    from pipeline.training import loop

    try:
        # First, because looking at the data and building the model can take minutes.
        cli_flags.check_path(workdir, "--workdir", written="folder")
        complete = build.complete(config)
        loop.train(build.run_spec(complete), workdir, force_config=force_config)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {_resume_hint(workdir)}") from None
    except OSError as error:
        if error.errno not in _DISK_FULL and not is_remote(error.filename or ""):
            raise
        raise CheckpointError(
            f"{error.filename or workdir}: {error.strerror}; {_resume_hint(workdir)}"
        ) from None


def _is_lost_peer(error: BaseException) -> bool:
    """Return whether an error means that another process of the run is gone."""
    text = str(error).lower()
    return type(error).__name__ == "JaxRuntimeError" and any(
        sign in text for sign in ("gloo", "connection", "nccl", "peer", "heartbeat")
    )


def _is_shared(error: StrataError) -> bool:
    """Return whether all processes stop with this error."""
    return isinstance(error, Preempted | Diverged)


def _define_run(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "workdir", None, "Folder of the run, created if it does not exist.", flag_values=values
    )
    flags.DEFINE_bool(
        "force_config",
        False,
        "Resume even if the config or the dataset differs from the run's.",
        flag_values=values,
    )


def _define_processes(values: flags.FlagValues) -> None:
    flags.DEFINE_string("coordinator_address", None, "HOST:PORT of process 0.", flag_values=values)
    flags.DEFINE_integer("num_processes", None, "Number of processes.", flag_values=values)
    flags.DEFINE_integer("process_id", None, "Index of this process, from 0.", flag_values=values)
    flags.DEFINE_integer(
        "initialization_timeout",
        300,
        "Seconds to wait at the start for the other processes.",
        lower_bound=1,
        upper_bound=_MOST_SECONDS,
        flag_values=values,
    )
    flags.DEFINE_integer(
        "heartbeat_timeout",
        100,
        "Seconds after which a silent process counts as dead.",
        lower_bound=1,
        upper_bound=_MOST_SECONDS,
        flag_values=values,
    )


def _resume_hint(workdir: str) -> str:
    from pipeline.training import workdir as workdirs
    from pipeline.training.checkpoints.store import Checkpoints

    try:
        folder = workdirs.load(workdir)["checkpoint"]["folder"]
        step = Checkpoints(workdirs.checkpoint_folder(workdir, folder)).latest()
    except ConfigError:  # interrupted before config.json was written
        step = None
    except OSError:  # a bucket that does not answer
        return "the same command resumes after the newest checkpoint"
    if step is None:
        return "there is no checkpoint yet, so the same command starts from step 0"
    return f"the same command resumes after step {step}"
