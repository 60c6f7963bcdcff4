"""How plans of runs and of codecs write a figure."""

from collections.abc import Mapping
from typing import Any

from pipeline.codec.memory import byte_sizes


def verdict(result: Mapping[str, Any]) -> str:
    """Return whether the peak of a plan fits the memory of its chip; "" if that is unknown."""
    if result["fits"] is None:
        return ""
    of = f" of {size(result['memory_bytes'])}"
    return f"{of}: fits" if result["fits"] else f"{of}: DOES NOT FIT; try:"


def size(count: int | float | None) -> str:
    """Return a number of bytes."""
    return "unknown" if count is None else byte_sizes.text(count)


def number(count: int | float | None) -> str:
    """Return a count in four digits."""
    return "unknown" if count is None else f"{count:.4g}"
