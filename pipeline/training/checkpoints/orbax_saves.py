"""The outcome of a save that Orbax runs in the background, known as soon as it has failed."""

import concurrent.futures
from typing import Any

_abandoned = False


def future(response: Any) -> concurrent.futures.Future[None]:
    """Return the future of a save.

    `response.result()` does not do: once the save has failed, it waits for the tasks that are left,
    and these for other processes at barriers.
    """
    return response._thread_runner._future  # Orbax has no public name for it.


def abandon() -> None:
    """Note that threads of Orbax wait for other processes, and would delay the end of this one."""
    global _abandoned
    _abandoned = True


def are_left_behind() -> bool:
    """Return whether a save was abandoned by this process."""
    return _abandoned
