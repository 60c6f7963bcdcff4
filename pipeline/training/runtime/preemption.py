"""Preemption: on SIGTERM all processes stop after the same step, which is saved."""

import ctypes
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

import jax
from jax.experimental import multihost_utils

from pipeline.core.errors import Preempted

_SIGNALS = 64  # Linux has no more.
# Schedulers and the scripts in between may each forward the same SIGTERM.
_SAME_S = 5.0


class Preemption:
    """A listener for SIGTERM to this process or, in a run of several, to any of them.

    `check` must be called equally often on all processes, where a run can stop. It becomes true on
    all of them at the same call, on which JAX's preemption service agrees. That service listens in
    C++. A Python handler would take the signal from it, and would run only when the main thread
    returns from compiling or from waiting for a device. So a thread reads the signal from Python's
    wake-up pipe, and forwards it.

    A second SIGTERM more than five seconds later (an earlier one is the same, forwarded twice), or
    `grace_s` seconds after the first (0: no limit), end the process at once with the exit code of a
    preemption; the next start resumes from what is saved by then.
    """

    def __init__(self, *, grace_s: float | int = 0.0, leave: Callable[[int], None] = os._exit):
        self._grace_s, self._leave = grace_s, leave
        self._calls = 0
        self._first: float | None = None
        self._several = jax.process_count() > 1
        # Reading the handler replaces it, and JAX's must still be called.
        c = ctypes.CDLL(None)
        c.signal.restype, c.signal.argtypes = ctypes.c_void_p, [ctypes.c_int, ctypes.c_void_p]
        self._native = c.signal(signal.SIGTERM, None) if self._several else None
        self._previous = signal.signal(signal.SIGTERM, lambda *_: None)
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._previous_pipe = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._timer: threading.Timer | None = None
        threading.Thread(target=self._listen, name="preemption", daemon=True).start()

    def check(self) -> bool:
        """Return whether to stop here."""
        if not self._several:
            return self._first is not None
        self._calls += 1
        return multihost_utils.reached_preemption_sync_point(self._calls)

    def raise_if_due(self) -> None:
        """Raise Preempted if `check` is true."""
        if self.check():
            raise Preempted("preempted")

    def close(self) -> None:
        """Restore the previous handling of SIGTERM."""
        if self._timer is not None:
            self._timer.cancel()
        signal.set_wakeup_fd(self._previous_pipe)
        signal.signal(signal.SIGTERM, self._previous or signal.SIG_DFL)
        os.close(self._writer)  # Ends the thread.

    def _listen(self) -> None:
        while True:
            received = os.read(self._reader, _SIGNALS)
            if not received:
                os.close(self._reader)
                return
            for number in received:
                if number == signal.SIGTERM:
                    self._terminate()

    def _terminate(self) -> None:
        now = time.monotonic()
        if self._first is not None:
            if now - self._first > _SAME_S:
                self._end("a second SIGTERM")
        else:
            self._first = now
            where = f"process {jax.process_index()} on {socket.gethostname()}"
            print(
                f"strata train: SIGTERM to {where}: saving and stopping",
                file=sys.stderr,
                flush=True,
            )
            if self._native:
                ctypes.CFUNCTYPE(None, ctypes.c_int)(self._native)(signal.SIGTERM)
            if self._grace_s > 0:
                self._timer = threading.Timer(
                    self._grace_s, self._end, [f"{self._grace_s:.0f} s after SIGTERM"]
                )
                self._timer.daemon = True
                self._timer.start()

    def _end(self, why: str) -> None:
        print(
            f"strata train: {why}: leaving without waiting; the newest checkpoint stays",
            file=sys.stderr,
            flush=True,
        )
        self._leave(Preempted.exit_code)
