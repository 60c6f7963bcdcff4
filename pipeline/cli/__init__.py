"""The command `strata`: finds the module of a subcommand, and turns a StrataError into one line and an exit code."""

import glob
import importlib
import importlib.util
import os
import sys

from pipeline.core.errors import ConfigError, StrataError

# Subcommand -> (module in pipeline.cli, what it does). Modules are imported only when they are run.
COMMANDS = {
    "train": ("train", "train a model; the same command again resumes"),
    "eval": ("eval", "bits per dimension, reconstruction quality, active units of a run"),
    "sample": ("sample", "a grid of samples from a run"),
    "inspect": ("inspect", "parameters, latents and state of a recipe, a run or a codec"),
    "plan": ("plan", "compile for a pod that is not there: memory, collectives, days"),
    "checkpoint": ("checkpoint", "list or verify the checkpoints of a run"),
    "export": ("export", "turn a run into a codec folder"),
    "reconstruct": ("reconstruct", "encode and decode images and videos with a codec"),
    "encode": ("encode", "images and videos to latents"),
    "decode": ("decode", "latents to images and videos"),
    "data": ("data", "pack a dataset, or look at its examples"),
    "import": ("import_weights", "other people's weights as a run at step 0"),
    "bench": ("bench", "time training, data or checkpoints"),
}


def usage() -> str:
    """What `strata --help` prints."""
    lines = [
        "usage: strata COMMAND [flags]     (strata COMMAND --help tells a command's flags)",
        "",
    ]
    lines += [f"  {command:<12} {purpose}" for command, (_, purpose) in COMMANDS.items()]
    lines += [
        "",
        "exit codes: 0 done, 2 usage or config, 65 bad data, 70 hung, 75 preempted, 76 diverged",
    ]
    return "\n".join(lines)


def dispatch(argv: list[str]) -> int:
    """Runs `argv` (without the program's name) and returns the exit code."""
    if not argv:
        print(usage(), file=sys.stderr)
        return ConfigError.exit_code
    command, *rest = argv
    if command in ("-h", "--help", "help"):
        print(usage())
        return 0
    try:
        if command not in COMMANDS:
            from pipeline.core.construct import nearest

            raise ConfigError(f"{command!r} is not a command: {nearest(command, COMMANDS)}")
        return importlib.import_module(f"pipeline.cli.{COMMANDS[command][0]}").run(rest)
    except StrataError as error:
        print(f"strata {command}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"strata {command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0


def main() -> None:
    """Entry point of the console script."""
    _pass_over_tpu_compiler()
    sys.exit(dispatch(sys.argv[1:]))


def _pass_over_tpu_compiler() -> None:
    """Where the wheel that `strata plan` compiles with is installed and there is no TPU, jax starts without it.

    Otherwise jax would try it at every start, and it would complain of the machine on standard error. What is no
    library jax passes over in silence; `strata plan` takes the name away again (planning/topology.py).
    """
    if (
        "JAX_PLATFORMS" in os.environ
        or "TPU_LIBRARY_PATH" in os.environ
        or glob.glob("/dev/accel*")
    ):
        return
    found = importlib.util.find_spec("libtpu")
    # Newer TPUs are behind VFIO, as other devices may be; jax can tell them apart.
    if found is not None and found.origin is not None and not glob.glob("/dev/vfio/[0-9]*"):
        os.environ["TPU_LIBRARY_PATH"] = found.origin
