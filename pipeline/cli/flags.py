"""Helpers of the subcommands: flags and paths of one command, recipes with overrides, JSON results.

A flag that names a file or folder is defined by `define_path`, and may be in a bucket (gs://,
s3://). `parse` checks all of them before anything starts.
"""

import json
import os
import pathlib
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from pipeline.cli import help_text, recipes
from pipeline.core.construct import modules_of, nearest, summaries
from pipeline.core.errors import ConfigError
from pipeline.storage.paths import as_path, is_remote

_CONFIG_HELP = (
    "Recipe: a Python file that defines get_config, as FILE or FILE:argument; "
    "--config.a.b=value overrides a setting."
)
_PATHS = "paths, local or in a bucket (gs://, s3://)"  # their heading in help


def new() -> flags.FlagValues:
    """Return an empty set of flags, so that --help shows the flags of one command only."""
    return flags.FlagValues()


def parse(
    values: flags.FlagValues, argv: list[str], doc: str | None, *, more_help: str = ""
) -> list[str] | None:
    """Parse `argv`; return the arguments that are not flags, or None after showing help.

    Help is the docstring `doc`, the flags, and `more_help`.

    Raises:
      ConfigError: a flag is unknown, its value has the wrong type, or a path cannot be used.
    """
    if {"--help", "-h", "--helpfull"} & set(argv):
        help_text.show(values, doc or "", more_help)
        return None
    try:
        # The recipe and its overrides are already read.
        config = values["config"].value if "config" in values else None
        loaded = isinstance(config, ConfigDict)
        rest = values(["strata", *(_split_config(argv, config)[2] if loaded else argv)])[1:]
    except flags.UnrecognizedFlagError as error:
        name = error.flagname
        raise ConfigError(
            f"there is no flag --{name}: {nearest(name, values)}; --help describes all"
        ) from None
    except (flags.Error, ValueError, OSError) as error:
        raise ConfigError(_one_line(error)) from None
    flagged = [flag for flag in map(values.__getitem__, values) if isinstance(flag, _PathFlag)]
    for flag in flagged:
        if flag.value == "" and flag.default is None:
            raise ConfigError(f"--{flag.name} is empty: give a path")
    paths = {f"--{flag.name}": (str(flag.value), flag.written) for flag in flagged if flag.value}
    for name, (path, _) in paths.items():
        as_path(path, name=name)
    for name, (path, written) in paths.items():
        check_path(path, name, written=written)
    return rest


def define_path(
    values: flags.FlagValues,
    name: str,
    help: str,
    *,
    default: str | None = None,
    written: str = "",
) -> None:
    """Define a flag for the path of a file or folder, local or in a bucket.

    Args:
      written: "file" or "folder" if the command writes it; "" if it only reads.
    """
    parser, serializer = flags.ArgumentParser(), flags.ArgumentSerializer()
    flag = _PathFlag(parser, serializer, name, default, help)
    flag.written = written
    flags.DEFINE_flag(flag, values, module_name=_PATHS)


def define_number_or_auto(values: flags.FlagValues, name: str, help: str, *, least: int) -> None:
    """Define a flag that is a whole number of at least `least`, or "auto"."""
    flags.DEFINE_flag(
        flags.Flag(_NumberOrAuto(least), flags.ArgumentSerializer(), name, None, help), values
    )


def define_codec(values: flags.FlagValues, what: str = "Codec: ") -> None:
    """Define --codec, the folder of a codec that the command reads, which may be on a hub."""
    define_path(values, "codec", f"{what}a folder, or OWNER/NAME[@REVISION][/FOLDER] on a hub.")


def define_json(values: flags.FlagValues) -> None:
    """Define --json, the file for a result."""
    help = "File for the result; - for standard output."
    define_path(values, "json", help, written="file")


def check_path(path: str, name: str, *, written: str = "") -> None:
    """Check that a path can be used: that its bucket answers, and that it can be written.

    Nothing is created. `written` is "file" or "folder" for what is to be written there.

    Raises:
      ConfigError: another scheme, a client that is not installed, a bucket out of reach, or a place
        that cannot be written.
    """
    as_path(path, name=name)
    if is_remote(path):
        from pipeline.storage import access  # The clients take a second to import.

        access.check(path, name=name, write=bool(written))
    elif written and path != "-":
        try:
            _check_writable(pathlib.Path(path), f"{name} {path}", written)
        except OSError as error:
            place = "" if error.filename in (None, path) else f"{error.filename}: "
            raise ConfigError(f"{name} {path}: {place}{error.strerror}") from None


def _check_writable(path: pathlib.Path, where: str, kind: str) -> None:
    """Check that a local file or folder can be written, without leaving anything there."""
    if path.exists() and path.is_dir() != (kind == "folder"):
        raise ConfigError(f"{where} is a {'file' if kind == 'folder' else 'folder'}, not a {kind}")
    if path.exists() and kind == "file":
        if not os.access(path, os.W_OK):
            raise ConfigError(f"{where} may not be written")
        return
    there = next(each for each in (path, *path.absolute().parents) if os.path.lexists(each))
    names = path.absolute().parts[len(there.absolute().parts) :]
    if there.is_symlink() and not there.exists():
        target = pathlib.Path(os.path.realpath(there))  # a link again if it leads to itself
        if kind == "folder" or names or target.is_symlink() or not target.parent.is_dir():
            raise ConfigError(f"{where}: {there} is a broken link")
        there = target.parent
    if not there.is_dir():
        raise ConfigError(f"{where}: {there} is a file, not a folder")
    try:
        tempfile.TemporaryFile(dir=there).close()  # asking for permissions is not enough for root
    except OSError as error:
        raise ConfigError(f"{where}: {there} cannot be written: {error.strerror}") from None
    if any(len(os.fsencode(each)) > os.pathconf(there, "PC_NAME_MAX") for each in names):
        raise ConfigError(f"{where}: the name is too long")


def check_inputs(paths: Sequence[str], name: str) -> None:
    """Check arguments that are paths, called `name` in messages; in each bucket one is tried."""
    for path in paths:
        as_path(path, name=name)
    for path in {"/".join(path.split("/")[:3]): path for path in paths}.values():
        check_path(path, name)


class _NumberOrAuto(flags.ArgumentParser):
    """Parses a whole number, or "auto"."""

    def __init__(self, least: int):
        self._number = flags.IntegerParser(lower_bound=least)
        self.syntactic_help = f'{self._number.syntactic_help}, or "auto"'

    def parse(self, argument: Any) -> int | str | None:
        return "auto" if argument == "auto" else self._number.parse(argument)


class _PathFlag(flags.Flag):
    """A flag whose value is a path."""

    is_path, written = True, ""


def with_optional_value(argv: list[str], name: str) -> list[str]:
    """Return `argv` with --name replaced by --name= (an empty value) unless a value follows it."""
    following = [*argv[1:], "--"]
    return [
        f"--{name}=" if argument == f"--{name}" and after.startswith("-") else argument
        for argument, after in zip(argv, following)
    ]


def define_config(values: flags.FlagValues, argv: list[str]) -> None:
    """Add --config F[:arg] with overrides --config.a.b=v, also of keys that the recipe leaves out.

    Raises:
      ConfigError: the recipe cannot be loaded, or an override names an unknown key.
    """
    path, overrides, _ = _split_config(argv, None)
    if path is None:
        if overrides:
            raise ConfigError(f"--config.{overrides[0][0]} needs --config FILE")
        flags.DEFINE_string("config", None, _CONFIG_HELP, flag_values=values)
        return
    config = recipes.load(path)
    for key, text in _split_config(argv, config)[1]:
        recipes.override(config, key, text)
    parser, serializer = flags.ArgumentParser(), flags.ArgumentSerializer()
    flag = flags.Flag(parser, serializer, "config", None, _CONFIG_HELP)
    flags.DEFINE_flag(flag, values, module_name=__name__)
    flag.value = config


def config_of(values: flags.FlagValues) -> ConfigDict:
    """Return the recipe that --config names, or raise ConfigError if there is none."""
    if values.config is None:
        raise ConfigError(
            "--config FILE is missing: give a recipe, such as configs/vae/digits.py; strata list "
            "recipes shows all"
        )
    return values.config


def names(package: str) -> list[str]:
    """Return the names of a package's modules as a user types them, with dashes."""
    return [name.replace("_", "-") for name in modules_of(package)]


def listing(package: str, flag: str) -> str:
    """Return help for a flag that names a module of a package: one line for each module."""
    lines = {name.replace("_", "-"): line for name, line in summaries(package).items()}
    return f"--{flag} is one of:\n{help_text.rows(lines, help_text.columns(), 21)}"


def required(values: flags.FlagValues, name: str) -> str:
    """Return the value of a flag, or raise ConfigError if it was not given."""
    value = values[name].value
    if not value:
        raise ConfigError(f"--{name} is missing: --help shows an example")
    return value


def write_json(result: Mapping[str, Any], path: str | None, *, name: str = "--json") -> None:
    """Write a result to a file, or to standard output for `-`; do nothing without a path.

    Raises:
      ConfigError: it cannot be written there; the result is printed instead.
    """
    if path == "-":
        print(json.dumps(result))
    elif path:
        try:
            file = as_path(path, name=name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(result, indent=1) + "\n")
        except OSError as error:
            print(json.dumps(result), flush=True)
            reason = error.strerror or str(error)
            raise ConfigError(f"{name} {path}: {reason}; the result is printed above") from None


def report_stream(json_path: str | None):
    """Return the stream for readable text: standard error if the JSON is on standard output."""
    return sys.stderr if json_path == "-" else sys.stdout


def expanded(argv: Sequence[str], *, _open: tuple[str, ...] = ()) -> list[str]:
    """Return `argv` with the lines of each --flagfile FILE in its place, up to `--`.

    A line is an argument; `--name value` is two. Blank lines, and lines that begin with # or //,
    are left out. A file may name further files.

    Raises:
      ConfigError: a file cannot be read, or contains itself.
    """
    found: list[str] = []
    rest = list(argv)
    while rest:
        argument = rest.pop(0)
        name, equals, file = argument.partition("=")
        if argument == "--":
            return [*found, argument, *rest]
        if name not in ("--flagfile", "-flagfile"):
            found.append(argument)
            continue
        if not equals:
            file = rest.pop(0) if rest else ""
        if not file:
            raise ConfigError("--flagfile needs a file")
        path = os.path.abspath(os.path.expanduser(file))
        if path in _open:
            raise ConfigError(f"--flagfile {file} contains itself")
        found += expanded(_lines(file, path), _open=(*_open, path))
    return found


def _lines(file: str, path: str) -> list[str]:
    """Return the arguments in a flag file."""
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise ConfigError(f"--flagfile {file}: {reason}") from None
    arguments: list[str] = []
    for line in map(str.strip, lines):
        if not line or line.startswith(("#", "//")):
            continue
        name, *value = line.split(maxsplit=1)
        arguments += [name, *value] if name.startswith("-") and "=" not in name else [line]
    return arguments


def _split_config(
    argv: Sequence[str], config: ConfigDict | None
) -> tuple[str | None, list[tuple[str, str | None]], list[str]]:
    """Return the path of the recipe, its overrides as (key, text), and the other arguments.

    Overrides without = take the next argument as their value, unless their key is a switch; with a
    config of None this is not known, and the overrides are not to be used.

    Raises:
      ConfigError: --config or an override lacks its value.
    """
    path: str | None = None
    overrides: list[tuple[str, str | None]] = []
    kept: list[str] = []
    rest = list(argv)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            kept += [argument, *rest]
            break
        flag, equals, text = argument.partition("=")
        name = flag.lstrip("-") if flag.startswith("-") else ""
        value: str | None = text if equals else None
        if name != "config" and not name.startswith("config."):
            kept.append(argument)
            continue
        key = name.removeprefix("config").removeprefix(".")
        switch = bool(key) and config is not None and recipes.is_switch(config, key)
        following = rest[0] if rest else "--"
        taken = following.lower() in ("true", "false") if switch else following[:2] != "--"
        if value is None and taken:
            value = rest.pop(0)
        if name == "config":
            if not value:
                raise ConfigError("--config needs a file: --config FILE[:argument]")
            path = value
        else:
            overrides.append((key, value))
    return path, overrides, kept


def _one_line(error: BaseException) -> str:
    text = str(error).strip().removeprefix("flag ")
    return " ".join(text.split())
