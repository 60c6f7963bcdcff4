"""Recipes on the command line: load --config F[:arg], and apply the overrides --config.a.b=value.

A recipe is a user's program: whatever it raises becomes one line with the file and the line.
"""

import ast
import contextlib
import math
import os
import pathlib
import site
import sys
import sysconfig
import traceback
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import config_dict

import pipeline
from pipeline.core.construct import nearest
from pipeline.core.errors import ConfigError, one_line, shortened
from pipeline.storage.paths import is_remote

_MODULE = "strata_recipe"  # the name of a recipe as a module
_WORDS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def load(text: str) -> ConfigDict:
    """Return the recipe of F or F:argument, without overrides.

    While it is loaded, its folder is the first place where modules are looked for, so that it may
    import a module next to it.

    Raises:
      ConfigError: there is no such file, or it fails; the message has the line at fault.
    """
    if is_remote(text):
        raise ConfigError(f"--config {text}: a recipe is a local file: copy it first")
    file, arguments = _split(text)
    try:
        source = pathlib.Path(file).read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            f"--config {file}: there is no such recipe file; strata list recipes shows all"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"--config {file}: {reason}") from None
    module = types.ModuleType(_MODULE)
    module.__file__ = os.path.abspath(file)
    before = list(sys.path)
    sys.modules[_MODULE] = module
    sys.path.insert(0, os.path.dirname(module.__file__))
    try:
        with _booleans_are_no_numbers():
            exec(compile(source, module.__file__, "exec"), module.__dict__)
            if not callable(getattr(module, "get_config", None)):
                raise ConfigError(f"--config {file}: the recipe defines no function get_config")
            config = module.get_config(*arguments)
        if isinstance(config, ConfigDict):
            config.lock()
    except (ConfigError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise ConfigError(
            f"--config {text}: the recipe failed to load: {_described(error, file)}"
        ) from None
    finally:
        sys.path[:] = before
    if not isinstance(config, ConfigDict):
        raise ConfigError(
            f"--config {file}: get_config must return a ConfigDict, not {type(config).__name__}"
        )
    return config


def override(config: ConfigDict, key: str, text: str | None) -> None:
    """Set a key of a recipe, also one that it leaves out, to the value that a text spells.

    The text is read as the type of the present value, or as another type that the key accepts.
    None is a flag without a value, which is True.

    Raises:
      ConfigError: the key is unknown, or does not accept the value.
    """
    node = _ensure_key(config, key)
    section, _, name = key.rpartition(".")
    if text is None and not isinstance(_value(node, name), bool):
        raise ConfigError(f"--config.{key} needs a value: --config.{key}=VALUE")
    value = True if text is None else _read(config, section, name, _value(node, name), text)
    try:
        with node.unlocked(), node.ignore_type():
            if isinstance(_value(node, name), list):  # it would turn a tuple into a list again
                del node[name]
            node[name] = value
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"--config.{key}={_printable(text)}: {_one_line(error)}") from None


def is_switch(config: ConfigDict, key: str) -> bool:
    """Return whether a key is True or False, so that its flag needs no value."""
    return isinstance(_value(_ensure_key(config, key), key.rpartition(".")[2]), bool)


@contextlib.contextmanager
def _booleans_are_no_numbers() -> Iterator[None]:
    """Keep a ConfigDict from turning True into 1.0 where a recipe sets a number to it."""
    cast = config_dict._safe_cast

    def strict(value: Any, field_type: Any, type_safe: bool = True) -> Any:
        if isinstance(value, bool) and field_type is float:
            raise TypeError(f"{value} is no number")
        return cast(value, field_type, type_safe)

    config_dict._safe_cast = strict
    try:
        yield
    finally:
        config_dict._safe_cast = cast


def _split(text: str) -> tuple[str, list[str]]:
    """Return the file, and the argument of get_config if there is one; both may have colons."""
    ends = [at for at, letter in enumerate(text) if letter == ":"]
    for end in (len(text), *reversed(ends)):
        if "\0" not in text and os.path.exists(text[:end]) and end:
            return text[:end], [text[end + 1 :]] if end < len(text) else []
    file, colon, argument = text.partition(":")
    return file, [argument] if colon else []


def _described(error: BaseException, file: str) -> str:
    """Return the kind, the words and the place of an error in a user's file."""
    kind = type(error).__name__
    if isinstance(error, SyntaxError):
        place = f"{_shown(error.filename, file)}:{error.lineno}" if error.lineno else file
        return f"{kind}: {error.msg} ({place})"
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)
    ]
    place = f"{_shown(frames[-1].filename, file)}:{frames[-1].lineno}" if frames else file
    words = _one_line(error)
    return f"{kind}: {words} ({place})" if words else f"{kind} ({place})"


def _shown(name: str | None, file: str) -> str:
    """Return the recipe's name as the user gave it; other files by their path."""
    return file if name is None or name == os.path.abspath(file) else name


def _is_users(name: str) -> bool:
    """Return whether code is neither Strata's nor an installed package's or Python's."""
    installed = {sysconfig.get_paths()["stdlib"], *site.getsitepackages(), *pipeline.__path__}
    path = os.path.abspath(name)
    return not name.startswith("<") and not any(
        path.startswith(os.path.join(folder, "")) for folder in installed
    )


def _one_line(error: BaseException) -> str:
    return one_line(error)[:300]


def _printable(text: str | None) -> str:
    """Return a text of the command line as it is, or spelled by Python if it is no plain line."""
    text = "" if text is None else text
    return shortened(text if text.isprintable() else repr(text))


def _value(node: ConfigDict, name: str) -> Any:
    """Return a value, or None for one that the recipe requires and has not set."""
    try:
        return node[name]
    except Exception:  # required placeholders of ml_collections
        return None


def _ensure_key(config: ConfigDict, key: str) -> ConfigDict:
    """Set a key that the recipe leaves out to its default, and return the section of the key."""
    node, parts = config, key.split(".")
    for depth, part in enumerate(parts):
        where = ".".join(["config", *parts[:depth]])
        if part not in node:
            from pipeline import build  # slow to import and rarely needed

            defaults = build.defaults(config, ".".join(parts[:depth]))
            if part not in defaults:
                raise ConfigError(
                    f"--config.{key}: {where} has no {part!r}; {nearest(part, {*node, *defaults})}"
                )
            default = defaults[part]
            with node.unlocked():
                node[part] = ConfigDict(default) if isinstance(default, Mapping) else default
        if depth == len(parts) - 1:
            break
        child = _value(node, part)
        if not isinstance(child, ConfigDict):
            raise ConfigError(f"--config.{key}: {where}.{part} is a single value")
        node = child
    return node


def _read(config: ConfigDict, section: str, name: str, current: Any, text: str) -> Any:
    """Return the value that a text spells for a key whose present value is `current`.

    Raises:
      ConfigError: the key does not accept it.
    """
    key = f"{section}.{name}" if section else name

    def accepts(value: Any) -> bool:
        from pipeline import build  # slow to import and rarely needed

        return build.takes(config, section, name, value)

    def refuse(what: str) -> ConfigError:
        return ConfigError(f"--config.{key}={_printable(text)} must be {what}")

    if text == "None" and not isinstance(current, str) and accepts(None):
        return None
    number = _number(text)
    if isinstance(current, bool):
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        raise refuse("true or false")
    if isinstance(current, int | float):
        whole = _whole(number)
        if isinstance(current, int) and whole is not None:
            return whole
        if number is not None and (isinstance(current, float) or accepts(number)):
            return float(text)
        if number is None and text.lower() not in _WORDS and text != "None" and accepts(text):
            return text
        raise refuse("an integer" if isinstance(current, int) else "a number")
    if isinstance(current, str):
        if number is not None and accepts(number):
            return number
        if text == "None":
            raise refuse(f"text: nothing is --config.{key}=")
        return text
    return _literal(current, text, refuse)


def _literal(current: Any, text: str, refuse: Any) -> Any:
    """Return the Python literal that a text spells, for a sequence, a dict or no value yet."""
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        value = text
    if isinstance(current, Sequence):  # flags have no notation for lists
        if value is None or (isinstance(value, str) and text.strip()[:1] not in ("'", '"')):
            raise refuse("a tuple, such as (1, 2)")
        return tuple(value) if isinstance(value, list | tuple) else (value,)
    if isinstance(current, ConfigDict):
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
            raise refuse("a dict, such as {'weight': 1.0}")
        return ConfigDict(value)
    return value


def _number(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return None


def _whole(number: int | float | None) -> int | None:
    """Return an integer, also one that is written like 5e8, or None."""
    if isinstance(number, float) and math.isfinite(number) and number.is_integer():
        return int(number) if abs(number) < 2**53 else None
    return number if isinstance(number, int) else None
