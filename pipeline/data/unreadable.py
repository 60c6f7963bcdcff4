"""The error for one example that cannot be used."""

from pipeline.core.errors import DataError


class Unreadable(DataError):
    """The reason why one example cannot be used.

    The loader adds the example's name, skips and counts it, and stops beyond data.max_unreadable.
    """
