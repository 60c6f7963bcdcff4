"""A watchdog that ends a process without progress, such as one in a collective without its peer."""

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

# Phases without a limit: compilation reports no progress.
_PATIENT = ("start", "compile")


class Watchdog:
    """A thread that ends the process with exit code 70 after `minutes` in one phase without a beat.

    Before that it writes the stacks of all threads to standard error and to hangs/process_<i>.txt
    in `folder`, with the process and the phase; `others()` describes where the rest of the run is.
    It does not raise, because a main thread that waits in a collective runs no Python.

    With 0 minutes there is no watchdog. Startup and compilation are not watched.
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
        """Stop the watchdog."""
        self._stop.set()

    def _watch(self) -> None:
        limit = 60 * self._minutes
        while not self._stop.wait(min(5.0, limit / 4)):
            phase, silent = self._phases.current, time.monotonic() - self._phases.since
            if silent > limit and phase not in _PATIENT:
                self._report_and_exit(phase, silent)
                return

    def _report_and_exit(self, phase: str, silent: float) -> None:
        message = (
            f"process {self._process} on {socket.gethostname()} hung: "
            f"{silent:.0f} s in phase {phase!r} after step {self._phases.step}"
        )
        print(f"strata train: {message}", file=sys.stderr, flush=True)
        faulthandler.dump_traceback(all_threads=True)
        path = self._folder / "hangs" / f"process_{self._process}.txt"
        # The process ends whatever fails from here on.
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
