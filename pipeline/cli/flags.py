"""Helpers of the subcommands: flags and paths of one command, recipes with overrides, JSON results.

A flag that names a file or folder is defined by `define_path`, and may be in a bucket (gs://,
s3://). `parse` checks all of them before anything starts.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

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


def parse(values: flags.FlagValues, argv: list[str], doc: str | None) -> list[str] | None:
    """Parse `argv`; return the arguments that are not flags, or None after showing help.

    Raises:
      ConfigError: a flag is unknown, its value has the wrong type, or a path cannot be used.
    """
    if {"--help", "-h", "--helpfull"} & set(argv):
        own = values.get_help().partition("\nabsl.flags:")[0]  # without --flagfile and --undefok
        print(f"{(doc or '').strip()}\n{own.rstrip()}")
        return None
    try:
        # The recipe is already loaded: leave only its overrides, in any order, to absl.
        loaded = "config" in values and isinstance(values["config"].value, ConfigDict)
        rest = values(["strata", *(_without_config(argv) if loaded else argv)])[1:]
    except (flags.Error, OSError) as error:
        raise ConfigError(_one_line(error)) from None
    flagged = [flag for flag in map(values.__getitem__, values) if isinstance(flag, _PathFlag)]
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
    written: bool = False,
) -> None:
    """Define a flag for the path of a file or folder, local or in a bucket.

    Args:
      written: whether the command writes there; otherwise it only reads.
    """
    parser, serializer = flags.ArgumentParser(), flags.ArgumentSerializer()
    flag = _PathFlag(parser, serializer, name, default, help)
    flag.written = written
    flags.DEFINE_flag(flag, values, module_name=_PATHS)


def define_json(values: flags.FlagValues) -> None:
    """Define --json, the file for a result."""
    help = "File for the result; - for standard output."
    define_path(values, "json", help, written=True)


def check_path(path: str, name: str, *, written: bool = False) -> None:
    """Check that a path is local, or in a bucket that can be read, or written.

    Raises:
      ConfigError: another scheme, a client that is not installed, or a bucket out of reach.
    """
    as_path(path, name=name)
    if is_remote(path):
        from pipeline.storage import access  # The clients take a second to import.

        access.check(path, name=name, write=written)


def check_inputs(paths: Sequence[str], name: str) -> None:
    """Check arguments that are paths, called `name` in messages; in each bucket one is tried."""
    for path in paths:
        as_path(path, name=name)
    for path in {"/".join(path.split("/")[:3]): path for path in paths}.values():
        check_path(path, name)


class _PathFlag(flags.Flag):
    """A flag whose value is a path."""

    written = False


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
    path, overrides = _config_arguments(argv)
    if path is None:
        if overrides:
            raise ConfigError(f"--config.{overrides[0][0]} needs --config FILE before it")
        flags.DEFINE_string("config", None, _CONFIG_HELP, flag_values=values)
        return
    config = _load(path)
    for key, text in overrides:
        _ensure_key(config, key)
        _retype(config, key, text)
    arguments = ["strata", *_without_config(argv)]
    config_flags.DEFINE_config_dict(
        "config", config, _CONFIG_HELP, flag_values=values, sys_argv=arguments
    )


def config_of(values: flags.FlagValues) -> ConfigDict:
    """Return the recipe that --config names, or raise ConfigError if there is none."""
    if values.config is None:
        raise ConfigError("--config FILE is missing: give a recipe, such as configs/quickstart.py")
    return values.config


def names(package: str) -> list[str]:
    """Return the names of a package's modules as a user types them, with dashes."""
    return [name.replace("_", "-") for name in modules_of(package)]


def listing(package: str, flag: str) -> str:
    """Return help for a flag that names a module of a package: one line for each module."""
    lines = [f"  {name.replace('_', '-'):<18} {line}" for name, line in summaries(package).items()]
    return "\n".join([f"--{flag} is one of:", *lines])


def required(values: flags.FlagValues, name: str) -> str:
    """Return the value of a flag, or raise ConfigError if it was not given."""
    value = values[name].value
    if not value:
        raise ConfigError(f"--{name} is missing")
    return value


def write_json(result: Mapping[str, Any], path: str | None) -> None:
    """Write a result to a file, or to standard output for `-`; do nothing without a path."""
    if path == "-":
        print(json.dumps(result))
    elif path:
        try:
            as_path(path, name="--json").write_text(json.dumps(result, indent=1) + "\n")
        except OSError as error:
            raise ConfigError(f"--json {path}: {error.strerror}") from None


def report_stream(json_path: str | None):
    """Return the stream for readable text: standard error if the JSON is on standard output."""
    return sys.stderr if json_path == "-" else sys.stdout


def _config_arguments(argv: list[str]) -> tuple[str | None, list[tuple[str, str]]]:
    """Return the path of the recipe, and its overrides as (key, text) pairs."""
    path, overrides = None, []
    for argument, after in zip(argv, [*argv[1:], None]):
        name, equals, value = argument.partition("=")
        name, value = (
            name.lstrip("-") if argument.startswith("-") else "",
            value if equals else after,
        )
        if name == "config":
            path = value
        elif name.startswith("config."):
            overrides.append((name.removeprefix("config."), value or ""))
    return path, overrides


def _load(path: str) -> ConfigDict:
    """Load the recipe without overrides; raise ConfigError with one line if it fails."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config", None, "", flag_values=values, sys_argv=["strata", f"--config={path}"]
    )
    if is_remote(path):
        raise ConfigError(f"--config {path}: a recipe is a local file: copy it first")
    file = path.split(":")[0]
    try:
        values(["strata", f"--config={path}"])
        config = values.config
        getattr(config, "keys", None)  # ml_collections reports an unreadable file at first use
    except OSError:
        raise ConfigError(f"--config {file}: there is no such recipe file") from None
    except (flags.Error, SyntaxError, AttributeError) as error:
        raise ConfigError(
            f"--config {path}: the recipe failed to load: {_last_line(error)}"
        ) from None
    if not isinstance(config, ConfigDict):
        raise ConfigError(
            f"--config {file}: get_config must return a ConfigDict, not {type(config).__name__}"
        )
    return config


def _without_config(argv: list[str]) -> list[str]:
    kept, skip = [], False
    for argument in argv:
        name = argument.lstrip("-") if argument.startswith("-") else ""
        if not skip and name != "config" and not name.startswith("config="):
            kept.append(argument)
        skip = not skip and name == "config"
    return kept


def _ensure_key(config: ConfigDict, key: str) -> None:
    """Set a key that the recipe leaves out to its default, so that its override has a type."""
    node: Any = config
    parts = key.split(".")
    for depth, part in enumerate(parts):
        where = ".".join(["config", *parts[:depth]])
        if not isinstance(node, ConfigDict):
            raise ConfigError(f"--config.{key}: {where} is a single value")
        if part not in node:
            from pipeline import build  # slow to import and rarely needed

            defaults = build.defaults(config, ".".join(parts[:depth]))
            if part not in defaults:
                raise ConfigError(
                    f"--config.{key}: {where} has no {part!r}; {nearest(part, {*node, *defaults})}"
                )
            with node.unlocked():
                default = defaults[part]
                node[part] = ConfigDict(default) if isinstance(default, Mapping) else default
        value = node[part]
        if isinstance(value, list):  # flags have no notation for lists
            as_tuple = tuple(value)
            with node.unlocked():
                del node[part]
                node[part] = as_tuple
        node = node[part]


def _retype(config: ConfigDict, key: str, text: str) -> None:
    """Let an override change the type of a number or a word, if the key accepts the new type.

    A flag parses its text as the type of the current value: fps=0 would reject 23.976, and
    logvar=0.0 would reject "learned".
    """
    section, _, name = key.rpartition(".")
    node: Any = config[section] if section else config
    current, wanted = node[name], _number_or_word(text)
    readable = {int: (int,), float: (int, float), str: (str,)}.get(type(current))
    if readable is None or isinstance(wanted, readable):
        return
    from pipeline import build  # slow to import and rarely needed

    if build.takes(config, section, name, wanted):
        with node.unlocked():
            del node[name]
            node[name] = wanted


def _number_or_word(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _one_line(error: BaseException) -> str:
    text = str(error).strip().removeprefix("flag ")
    return " ".join(text.split())


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
