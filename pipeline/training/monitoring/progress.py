"""The progress line of a run: updated in place on a terminal, printed at intervals elsewhere."""

from pipeline.core.progress import duration, screen
from pipeline.training.runtime.phases import Phases


class Progress:
    """Speed, and the share of time that steps waited for data, between two reports."""

    def __init__(self, *, num_steps: int, batch_size: int, phases: Phases, enabled: bool = True):
        self._num_steps, self._batch_size, self._phases, self._enabled = (
            num_steps,
            batch_size,
            phases,
            enabled,
        )
        self.start(0)

    def start(self, step: int) -> None:
        """Start timing now, after `step`."""
        self._last_step, self._last = step, self._spent()

    def report(
        self, step: int, console_summary: str, skipped: int, batch_size: int = 0
    ) -> dict[str, float]:
        """Show the line for `step` and return its timings: rates and the share of waiting for data.

        Only the phases "step" and "data" count: evaluating and saving are not training time.
        """
        now = self._spent()
        waited = now["data"] - self._last["data"]
        seconds = max(now["step"] - self._last["step"] + waited, 1e-9)
        steps = max(step - self._last_step, 1)
        timing = {
            "steps_per_s": steps / seconds,
            "images_per_s": steps * (batch_size or self._batch_size) / seconds,
            "data_wait_share": waited / seconds,
        }
        left = (self._num_steps - step) * seconds / steps
        parts = [
            f"step {step}/{self._num_steps}",
            console_summary,
            f"{timing['images_per_s']:.1f} images/s",
            f"data wait {100 * timing['data_wait_share']:.1f}%",
            f"ETA {duration(left)}",
        ]
        if skipped:
            parts.append(f"{skipped} skipped")
        self._show("  ".join(parts))
        self._last_step, self._last = step, now
        return timing

    def _spent(self) -> dict[str, float]:
        self._phases.beat()
        return dict(self._phases.seconds)

    def say(self, message: str) -> None:
        """Print a line that stays."""
        if self._enabled:
            screen.say(message)

    def close(self) -> None:
        """Stop updating, and leave the last line on the screen."""
        if self._enabled:
            screen.status("")

    def _show(self, line: str) -> None:
        if self._enabled:
            screen.status(line)
