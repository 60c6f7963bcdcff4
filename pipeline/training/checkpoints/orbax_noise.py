"""Filters for what Orbax and asyncio log about a failed save, which also raises an exception."""

import logging
import os
import sys
import warnings
from typing import Any

UNFINISHED = ".orbax-checkpoint-tmp"  # Suffix of the folder while Orbax writes a checkpoint.


def silence() -> None:
    """Filter the long tracebacks of Orbax's threads and tasks in the whole process."""
    for logger in ("absl", "asyncio"):
        logging.getLogger(logger).addFilter(_not_of_orbax)
    warnings.filterwarnings(
        "ignore", r"coroutine '.*' was never awaited", RuntimeWarning, "absl.logging"
    )
    report = sys.unraisablehook

    def unraisable(event: Any) -> None:
        # Remaining tasks of a failed save use an event loop that Orbax has closed.
        if not (
            isinstance(event.exc_value, RuntimeError)
            and str(event.exc_value) == "Event loop is closed"
        ):
            report(event)

    sys.unraisablehook = unraisable


def _not_of_orbax(record: logging.LogRecord) -> bool:
    # asyncio reports tasks that nobody awaited when they are collected, from any place in the code.
    return not any(
        name in record.pathname + record.getMessage()
        for name in (f"{os.sep}orbax{os.sep}", UNFINISHED)
    )
