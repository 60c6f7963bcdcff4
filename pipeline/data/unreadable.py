"""Examples that cannot be used: the error for one, and the budget for all of them."""

from collections.abc import Iterable
from typing import Any

from pipeline.core.errors import DataError


class Unreadable(DataError):
    """The reason why one example cannot be used.

    The loader adds the example's name, skips and counts it, and stops beyond data.max_unreadable.
    """


class Budget:
    """The files with examples that cannot be used, each with what was wrong first.

    A file counts once, however often it is drawn and whatever goes wrong next.

    Args:
      most: how many files may be skipped.
      what: "images" or "videos", for messages.
    """

    def __init__(self, most: int, what: str):
        self.most, self.what = most, what
        self.found: dict[str, str] = {}

    def add(self, file: str, message: str) -> None:
        """Count a file; `message` is "name: reason". Raises DataError beyond `most`."""
        self.found.setdefault(file, message)
        if len(self.found) > self.most:
            raise DataError(
                f"{len(self.found)} unreadable {self.what}, more than "
                f"data.max_unreadable={self.most}: {few(self.found.values())}"
            )


def few(messages: Iterable[str]) -> str:
    """Return up to three messages in a line, and how many more there are."""
    shown = list(messages)
    more = f"; and {len(shown) - 3} more" if len(shown) > 3 else ""
    return "; ".join(shown[:3]) + more


def file_of(source: Any, index: int) -> str:
    """Return the file that an example comes from: its name, if the source does not say it."""
    return getattr(source, "file", source.name)(index)
