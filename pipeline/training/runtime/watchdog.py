"""Ends a process that makes no progress: a collective whose other side is gone would wait for ever."""

import faulthandler
import os
import pathlib
import socket
import sys
import threading
import time
from collections.abc import Callable

from pipeline.core.errors import Hung
from pipeline.training.runtime.phases import Phases

# Compiling takes as long as it takes, and says nothing on the way.
_PATIENT = ("start", "compile")


class Watchdog:
    """A thread that looks on: after `minutes` in one phase without a beat it ends the process with exit code 70.

    Before that it writes the stacks of all threads to standard error and to hangs/process_<i>.txt in `folder`, and says
    which process hung in which phase; `others` tells where the rest of the run is. A main thread that
    waits within a collective runs no Python, so that raising there would do nothing.

    0 minutes is no watchdog. Starting up and compiling are not watched.
    """

    def __init__(
        self,
        phases: Phases,
        folder: pathlib.Path,
        *,
        minutes: float | int,
        process: int = 0,
        others: Callable[[], str] = lambda: "",
        leave: Callable[[int], None] = os._exit,
    ):
        self._phases, self._folder, self._minutes, self._process = phases, folder, minutes, process
        self._others, self._leave = others, leave
        self._stop = threading.Event()
        if minutes > 0:
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def close(self) -> None:
        """Stops looking."""
        self._stop.set()

    def _watch(self) -> None:
        limit = 60 * self._minutes
        while not self._stop.wait(min(5.0, limit / 4)):
            phase, silent = self._phases.current, time.monotonic() - self._phases.since
            if silent > limit and phase not in _PATIENT:
                self._bark(phase, silent)
                return

    def _bark(self, phase: str, silent: float) -> None:
        message = (
            f"process {self._process} on {socket.gethostname()} hung: {silent:.0f} s in phase {phase!r} "
            f"after step {self._phases.step}"
        )
        print(f"strata train: {message}", file=sys.stderr, flush=True)
        faulthandler.dump_traceback(all_threads=True)
        path = self._folder / "hangs" / f"process_{self._process}.txt"
        # Whatever fails from here on, the process ends.
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                print(message, file=file, flush=True)
                faulthandler.dump_traceback(file=file, all_threads=True)
            others = self._others()
            if others:
                print(f"strata train: {others}", file=sys.stderr, flush=True)
        finally:
            self._leave(Hung.exit_code)
