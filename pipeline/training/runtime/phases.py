"""What this process is doing, since when, and how long it has done each thing so far."""

import contextlib
import time
from collections.abc import Iterator

# What a run's time goes into. "step" is the useful one: dispatching steps, and waiting for the devices.
NAMES = ("start", "restore", "compile", "step", "data", "save", "evaluate", "pictures")


class Phases:
    """The phases of a run, one at a time: a phase within another stops the outer one's clock.

    The first phase, "start", counts from `began` (time.monotonic(); now by default).
    Seconds by phase are in `seconds`. `current`, `since` and `step` are what a watchdog reads, from its own thread.
    """

    def __init__(self, *, began: float | None = None):
        self.seconds: dict[str, float] = dict.fromkeys(NAMES, 0.0)
        self.current: str = "start"
        self.step = 0
        self._began = self.since = time.monotonic() if began is None else began

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Everything within is `name`."""
        outer = self.current
        self._switch(name)
        try:
            yield
        finally:
            self._switch(outer)

    def beat(self, step: int | None = None) -> None:
        """Something went forward: the `step` given was taken, or a part of the phase done."""
        self._switch(self.current)
        if step is not None:
            self.step = step

    def enter(self, name: str) -> None:
        """From here on, outside of other phases, it is `name`."""
        self._switch(name)

    def _switch(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[self.current] += now - self._began
        self.current, self._began, self.since = name, now, now
