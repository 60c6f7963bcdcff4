"""Lists of array names in error messages."""

import re
from collections.abc import Iterable, Sequence


def first_few(names: Sequence[str], count: int = 3) -> str:
    """Return the first `count` names separated by commas, and how many were left out."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def numbered(names: Iterable[str], pattern: str) -> int:
    """Return one more than the greatest number in the pattern's group among names that begin with
    it, which is how many layers there are; 0 without any.
    """
    found = [int(match[1]) for match in map(re.compile(pattern).match, names) if match]
    return max(found, default=-1) + 1
