"""The phase that a process is in, since when, and the time spent in each phase so far."""

import contextlib
import time
from collections.abc import Iterator

# "step" is the useful one: dispatching steps, and waiting for the devices.
NAMES = ("start", "restore", "compile", "step", "data", "save", "evaluate", "pictures")


class Phases:
    """Clocks of a run's phases; a phase within another stops the clock of the outer one.

    The first phase, "start", counts from `began` (time.monotonic(); now by default). `seconds`
    holds each phase's time. A watchdog reads `current`, `since` and `step` from its own thread.
    """

    def __init__(self, *, began: float | None = None):
        self.seconds: dict[str, float] = dict.fromkeys(NAMES, 0.0)
        self.current: str = "start"
        self.step = 0
        self._began = self.since = time.monotonic() if began is None else began

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count the time within the context as the phase `name`."""
        outer = self.current
        self._switch(name)
        try:
            yield
        finally:
            self._switch(outer)

    def beat(self, step: int | None = None) -> None:
        """Report progress: a `step` that was taken, or a part of the phase."""
        self._switch(self.current)
        if step is not None:
            self.step = step

    def enter(self, name: str) -> None:
        """Switch to the phase `name`, outside of other phases."""
        self._switch(name)

    def _switch(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[self.current] += now - self._began
        self.current, self._began, self.since = name, now, now
