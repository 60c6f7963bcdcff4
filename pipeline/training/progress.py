"""One line that tells a person how a run goes: kept up to date on a terminal, printed now and then elsewhere."""

import sys
import time
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text


class Progress:
    """Speed and the share of time that steps waited for data, measured between two reports."""

    def __init__(self, *, num_steps: int, batch_size: int, enabled: bool = True):
        self._num_steps, self._batch_size, self._enabled = num_steps, batch_size, enabled
        self._console = Console(stderr=True)
        self._live: Live | None = None
        if enabled and self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=True)
            self._live.start()
        self.start(0)

    def start(self, step: int) -> None:
        """Time counts from now, after `step`."""
        self._last_step, self._last_time, self._waited, self._paused = step, time.monotonic(), 0.0, 0.0

    def waited(self, seconds: float) -> None:
        """Time that the loop spent waiting for a batch."""
        self._waited += seconds

    def paused(self, seconds: float) -> None:
        """Time spent on evaluation, samples or saving, which is no training time."""
        self._paused += seconds

    def report(self, step: int, loss: float, elbo: float, skipped: int) -> dict[str, float]:
        """Shows the line for `step` and returns its timings, in steps and images a second and as a share."""
        now = time.monotonic()
        seconds = max(now - self._last_time - self._paused, 1e-9)
        steps = max(step - self._last_step, 1)
        timing = {
            "steps_per_s": steps / seconds,
            "images_per_s": steps * self._batch_size / seconds,
            "data_wait_share": self._waited / seconds,
        }
        left = (self._num_steps - step) * seconds / steps
        parts = [
            f"step {step}/{self._num_steps}",
            f"loss {loss:.4f} bits/dim" + (f" (elbo {elbo:.4f})" if abs(loss - elbo) > 5e-5 else ""),
            f"{timing['images_per_s']:.1f} images/s",
            f"data wait {100 * timing['data_wait_share']:.1f}%",
            f"ETA {duration(left)}",
        ]
        if skipped:
            parts.append(f"{skipped} skipped")
        self._show("  ".join(parts))
        self._last_step, self._last_time, self._waited, self._paused = step, now, 0.0, 0.0
        return timing

    def say(self, message: str) -> None:
        """A line that stays."""
        if self._enabled:
            self._console.print(Text(message), soft_wrap=True)

    def close(self) -> None:
        """Leaves the last line where it is."""
        if self._live is not None:
            self._live.stop()

    def _show(self, line: str) -> None:
        if self._live is not None:
            self._live.update(Text(line, overflow="ellipsis", no_wrap=True), refresh=True)
        elif self._enabled:
            print(line, file=sys.stderr, flush=True)


def duration(seconds: float | Any) -> str:
    """3725 -> "1:02:05"."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
