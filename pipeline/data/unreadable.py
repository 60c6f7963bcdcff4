"""One image that cannot be used; a loader skips it and counts it."""

from pipeline.core.errors import DataError


class Unreadable(DataError):
    """Why one example cannot be used. The loader adds its name, and gives up only beyond a budget."""
