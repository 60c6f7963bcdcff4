"""Lists of array names in error messages."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def first_few(names: Sequence[str], count: int = 3) -> str:
    """Return the first `count` names separated by commas, and how many were left out."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def first_of(tensors: Mapping[str, Any], *names: str) -> Any:
    """Return the first of the named tensors that is there; None without any."""
    return next((tensors[name] for name in names if name in tensors), None)


def numbered(names: Iterable[str], pattern: str) -> int:
    """Return one more than the greatest number in the pattern's group among names that begin with
    it, which is how many layers there are; 0 without any.
    """
    found = [int(match[1]) for match in map(re.compile(pattern).match, names) if match]
    return max(found, default=-1) + 1
