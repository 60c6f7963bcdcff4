"""The `strata` command: run a subcommand, and turn a StrataError into a line and an exit code."""

import glob
import importlib
import importlib.util
import os
import sys

from pipeline.core import progress
from pipeline.core.errors import ConfigError, StrataError

# Subcommand -> (module in pipeline.cli, purpose). A module is imported only when it is run.
COMMANDS = {
    "train": ("train", "train a model; the same command resumes a run"),
    "eval": ("eval", "measure the likelihood and the reconstructions of a run"),
    "sample": ("sample", "draw a grid of samples from a run"),
    "inspect": ("inspect", "show parameters and latents of a recipe, a run or a codec"),
    "plan": ("plan", "compile for machines you do not have: memory, collectives, days"),
    "checkpoint": ("checkpoint", "list or verify the checkpoints of a run"),
    "report": ("report", "show figures, samples and reconstructions of runs on one page"),
    "export": ("export", "turn a run into a codec folder"),
    "reconstruct": ("reconstruct", "encode and decode images and videos with a codec"),
    "encode": ("encode", "turn images and videos into latents"),
    "decode": ("decode", "turn latents into images and videos"),
    "data": ("data", "pack a dataset, or show its examples"),
    "import": ("import_weights", "turn released weights into a run at step 0 or a codec"),
    "list": ("list", "list recipes to train, and codecs that can be imported"),
    "completion": ("completion", "print completion for bash or zsh"),
    "bench": ("bench", "time training, data loading or checkpoints"),
}

FIRST_RECIPE = "configs/vae/digits.py"


def usage() -> str:
    """Return the text of `strata --help`."""
    lines = [
        "Strata trains VAEs of images and videos, and turns them into codecs.",
        "",
        "Start here:",
        "  strata list                 recipes to train, and codecs to import",
        f"  strata train --config {FIRST_RECIPE} --workdir runs/first",
        "                              a first run: a minute, nothing to download",
        "  strata COMMAND --help       the flags of a command, with an example",
        "",
        "Commands:",
    ]
    lines += [f"  {command:<12} {purpose}" for command, (_, purpose) in COMMANDS.items()]
    lines += [
        "",
        "Exit codes: 0 done, 2 usage or config, 65 bad data, 70 hung, 75 preempted,",
        "76 diverged, 130 interrupted.",
    ]
    return "\n".join(lines)


def dispatch(argv: list[str]) -> int:
    """Run `argv` (without the program's name) and return the exit code."""
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

            hint = f"{nearest(command, COMMANDS)}; strata --help lists all"
            raise ConfigError(f"{command!r} is not a command: {hint}")
        from pipeline.cli.flags import expanded

        rest = expanded(rest)
        return importlib.import_module(f"pipeline.cli.{COMMANDS[command][0]}").run(rest)
    except StrataError as error:
        _report(command, str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _report(command, "interrupted")
        return 130
    except BrokenPipeError:
        return 0
    except OSError as error:
        if not error.strerror:
            raise
        where = "" if error.filename is None else f"{error.filename}: "  # none if a write failed
        _report(command, f"{where}{error.strerror}")
        return ConfigError.exit_code


def _report(command: str, text: str) -> None:
    """Print one line on standard error, also of names that are not valid text."""
    progress.screen.close()
    line = f"strata {command}: {' '.join(text.split(chr(10)))}"
    print(line.encode("utf-8", "backslashreplace").decode(), file=sys.stderr)


def main() -> None:
    """Run the console script."""
    _hide_tpu_compiler()
    _use_compilation_cache()
    progress.show()
    for stream in (sys.stdout, sys.stderr):  # names of files need not be valid text
        stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
    sys.exit(dispatch(sys.argv[1:]))


def _use_compilation_cache() -> None:
    """Keep compiled programs in JAX_COMPILATION_CACHE_DIR, by default in the user's cache folder.

    Programs are kept that took a tenth of a second to compile, by jax's default one second: all
    models draw their first weights with the same dozen small programs, and a start that finds them
    takes a sixth less CPU time. jax reads the variables when it is imported, which is later.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.join(home, "strata", "jax"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")


def _hide_tpu_compiler() -> None:
    """Keep jax from loading the libtpu wheel on a machine without a TPU.

    `strata plan` compiles with that wheel. Any other command would have jax try it at every start,
    which prints complaints about the machine to standard error. jax silently ignores a
    TPU_LIBRARY_PATH that is not a library; `strata plan` removes the variable again
    (planning/topology.py).
    """
    if (
        "JAX_PLATFORMS" in os.environ
        or "TPU_LIBRARY_PATH" in os.environ
        or glob.glob("/dev/accel*")
    ):
        return
    found = importlib.util.find_spec("libtpu")
    # Newer TPUs, and other devices, are behind VFIO: leave it to jax to tell them apart.
    if found is not None and found.origin is not None and not glob.glob("/dev/vfio/[0-9]*"):
        os.environ["TPU_LIBRARY_PATH"] = found.origin
