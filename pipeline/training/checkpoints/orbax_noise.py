"""What Orbax and asyncio print of a save that failed, kept from the log: its failure reaches us as an exception."""

import logging
import os
import sys
import warnings
from typing import Any

UNFINISHED = (
    ".orbax-checkpoint-tmp"  # ends the name of the folder that Orbax writes a checkpoint into
)


def silence() -> None:
    """From now on, and for the whole process: tracebacks of each of Orbax's threads and tasks are pages."""
    for logger in ("absl", "asyncio"):
        logging.getLogger(logger).addFilter(_not_of_orbax)
    warnings.filterwarnings(
        "ignore", r"coroutine '.*' was never awaited", RuntimeWarning, "absl.logging"
    )
    report = sys.unraisablehook

    def unraisable(told: Any) -> None:
        # What is left of such a save answers to an event loop that Orbax has closed by then.
        if not (
            isinstance(told.exc_value, RuntimeError)
            and str(told.exc_value) == "Event loop is closed"
        ):
            report(told)

    sys.unraisablehook = unraisable


def _not_of_orbax(record: logging.LogRecord) -> bool:
    # asyncio tells of what nobody awaited whenever it is collected: from any place, naming the array that failed.
    return not any(
        name in record.pathname + record.getMessage()
        for name in (f"{os.sep}orbax{os.sep}", UNFINISHED)
    )
