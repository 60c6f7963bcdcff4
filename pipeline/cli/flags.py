"""What the subcommands share: their own set of flags each, recipes with overrides, and JSON results."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from pipeline.construct import nearest
from pipeline.errors import ConfigError


def new() -> flags.FlagValues:
    """An empty set of flags, so that --help shows a command's own and nothing else."""
    return flags.FlagValues()


def parse(values: flags.FlagValues, argv: list[str], doc: str | None) -> list[str] | None:
    """Parses `argv`; returns the arguments that are no flags, or None after showing help.

    Raises:
      ConfigError: an unknown flag, or a value of the wrong type.
    """
    if {"--help", "-h", "--helpfull"} & set(argv):
        print(f"{(doc or '').strip()}\n{values.get_help()}")
        return None
    try:
        return values(["strata", *argv])[1:]
    except (flags.Error, OSError) as error:
        raise ConfigError(_one_line(error)) from None


def define_config(values: flags.FlagValues, argv: list[str]) -> None:
    """Adds --config F[:arg] with overrides --config.a.b=v.

    Raises:
      ConfigError: the recipe cannot be loaded, or an override names a key that it lacks.
    """
    path, overrides = _config_arguments(argv)
    if path is not None:
        known = _load(path)
        for key in overrides:
            _check_key(known, key)
    elif overrides:
        raise ConfigError(f"--config.{overrides[0]} needs --config FILE before it")
    config_flags.DEFINE_config_file(
        "config", None, "Recipe: a Python file with get_config, as FILE or FILE:argument; --config.a.b=value overrides.",
        flag_values=values, sys_argv=["strata", *argv],
    )  # fmt: skip


def config_of(values: flags.FlagValues) -> ConfigDict:
    """The recipe given. Raises ConfigError where none was."""
    if values.config is None:
        raise ConfigError("--config FILE is missing: give a recipe, such as configs/quickstart.py")
    return values.config


def required(values: flags.FlagValues, name: str) -> str:
    """The flag's value. Raises ConfigError where it was not given."""
    value = values[name].value
    if not value:
        raise ConfigError(f"--{name} is missing")
    return value


def write_json(result: Mapping[str, Any], path: str | None) -> None:
    """Writes a result to the file named, `-` for standard output; does nothing without a path."""
    if path == "-":
        print(json.dumps(result))
    elif path:
        try:
            with open(path, "w") as file:
                json.dump(result, file, indent=1)
                file.write("\n")
        except OSError as error:
            raise ConfigError(f"--json {path}: {error.strerror}") from None


def report_stream(json_path: str | None):
    """Where the text for people goes: standard error when the JSON takes standard output."""
    return sys.stderr if json_path == "-" else sys.stdout


def _config_arguments(argv: list[str]) -> tuple[str | None, list[str]]:
    path, overrides = None, []
    for index, argument in enumerate(argv):
        name, equals, value = argument.partition("=")
        name = name.lstrip("-") if argument.startswith("-") else ""
        if name == "config":
            path = value if equals else (argv[index + 1] if index + 1 < len(argv) else None)
        elif name.startswith("config."):
            overrides.append(name.removeprefix("config."))
    return path, overrides


def _load(path: str) -> ConfigDict:
    """The recipe without overrides, its failures told in a line."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config", None, "", flag_values=values, sys_argv=["strata", f"--config={path}"]
    )
    file = path.split(":")[0]
    try:
        values(["strata", f"--config={path}"])
        config = values.config
        config.keys()  # a missing file is reported at the first use
    except OSError:
        raise ConfigError(f"--config {file}: there is no such recipe file") from None
    except (flags.Error, SyntaxError, AttributeError) as error:
        raise ConfigError(f"--config {path}: the recipe failed to load: {_last_line(error)}") from None
    if not isinstance(config, ConfigDict):
        raise ConfigError(
            f"--config {file}: get_config must return a ConfigDict, not {type(config).__name__}"
        )
    return config


def _check_key(config: ConfigDict, key: str) -> None:
    node: Any = config
    for depth, part in enumerate(key.split(".")):
        if not isinstance(node, ConfigDict) or part not in node:
            where = ".".join(["config", *key.split(".")[:depth]])
            known = list(node.keys()) if isinstance(node, ConfigDict) else []
            advice = nearest(part, known) if known else f"{where} is a single value"
            raise ConfigError(f"--config.{key}: {where} has no {part!r}; {advice}")
        node = node[part]


def _one_line(error: BaseException) -> str:
    text = str(error).strip().removeprefix("flag ")
    return " ".join(text.split())


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
