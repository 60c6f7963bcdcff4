"""Checks of the settings that a file of released weights comes with, such as a config.json."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.core.errors import CheckpointError


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a value must be: a test, and its description in a message."""

    holds: Callable[[Any], bool]
    what: str


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


COUNT = Kind(_is_count, "a whole number above 0")
COUNT_OR_0 = Kind(
    lambda value: _is_count(value) or (type(value) is int and value == 0), "a whole number"
)
NUMBER = Kind(_is_number, "a finite number")
POSITIVE = Kind(lambda value: _is_number(value) and value > 0, "a finite number above 0")
FLAG = Kind(lambda value: isinstance(value, bool), "true or false")
TEXT = Kind(lambda value: isinstance(value, str), "a name")


def list_of(kind: Kind, length: int | None = None) -> Kind:
    """Return the kind of a list with at least one element, or with `length` of them."""

    def holds(value: Any) -> bool:
        return (
            isinstance(value, list | tuple)
            and (len(value) == length if length is not None else len(value) > 0)
            and all(map(kind.holds, value))
        )

    return Kind(holds, f"a list of {length or 'values'}, each {kind.what}")


def optional(kind: Kind) -> Kind:
    """Return the kind of a value that may be null."""
    return Kind(lambda value: value is None or kind.holds(value), f"{kind.what}, or null")


def check(settings: Mapping[str, Any], kinds: Mapping[str, Kind]) -> None:
    """Check the values of all keys of `kinds`; a key without a value counts as null.

    Raises:
      CheckpointError: a value is of another kind; the message names the key.
    """
    for key, kind in kinds.items():
        if not kind.holds(settings.get(key)):
            raise CheckpointError(f"{key}={settings.get(key)!r} must be {kind.what}")


def check_fixed(settings: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    """Check settings of which our network has one value only; a key may be absent.

    Raises:
      CheckpointError: a setting has another value.
    """
    for key, value in fixed.items():
        given = settings.get(key, value)
        given, wanted = (list(v) if isinstance(v, tuple) else v for v in (given, value))
        if given != wanted:
            raise CheckpointError(f"{key}={settings[key]!r}, and our network has {value!r}")
