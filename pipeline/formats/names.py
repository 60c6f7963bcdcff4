"""Lists of array names in error messages."""

from collections.abc import Sequence


def first_few(names: Sequence[str], count: int = 3) -> str:
    """Return the first `count` names separated by commas, and how many were left out."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
