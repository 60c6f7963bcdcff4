"""Sizes of memory as people write them: 8GiB, 512 MiB, 2.5GB."""

import math
import re
from typing import Any

from pipeline.core.errors import ConfigError, shortened

_UNITS = {"": 1, "B": 1}
_UNITS |= {f"{letter}IB": 2 ** (10 * power) for power, letter in enumerate("KMGT", 1)}
_UNITS |= {f"{letter}B": 10 ** (3 * power) for power, letter in enumerate("KMGT", 1)}
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-z]*)")


def parse(given: Any, name: str) -> int:
    """Return the bytes of a size: a whole number, or a text such as "8GiB", "500MB" or "2.5 GiB".

    KiB, MiB, GiB and TiB are powers of 1024, KB, MB, GB and TB of 1000, in letters of any case.
    `name` is what the size is of, in messages.

    Raises:
      ConfigError: it is none of these, or below one byte.
    """
    if isinstance(given, int) and not isinstance(given, bool):
        count = given
    else:
        match = _SIZE.fullmatch(given.strip()) if isinstance(given, str) else None
        unit = _UNITS.get(match["unit"].upper()) if match else None
        if match is None or unit is None:
            raise ConfigError(
                f"{name} {shortened(repr(given))} is no size of memory, such as 8GiB, 500MB or a "
                "number of bytes"
            )
        count = math.floor(float(match["number"]) * unit)
    if count < 1:
        raise ConfigError(f"{name} {shortened(repr(given))} must be at least one byte")
    return count


def text(count: int | float) -> str:
    """Return a number of bytes in GiB, MiB or KiB, to two decimals."""
    unit, name = next(
        ((2**power, name) for power, name in ((30, "GiB"), (20, "MiB")) if count >= 2**power),
        (1024, "KiB"),
    )
    return f"{count / unit:.2f} {name}"
