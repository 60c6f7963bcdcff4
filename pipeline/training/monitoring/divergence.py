"""When a run has diverged, and which batches it then leaves out.

A step whose loss or gradient is not finite changes nothing (steps/update.py). Several of them in a row, or
several losses far above the recent ones, mean that going on is of no use: the run goes back to its last checkpoint, and
passes over the batches that did it (PaLM, arXiv 2204.02311, section 5.1, restarts some 100 steps earlier and skips
200 to 500 batches).
"""

import collections
import dataclasses
import json
import math
import pathlib
import statistics
from collections.abc import Iterable

from pipeline.core.errors import ConfigError
from pipeline.training.workdir import write_json

# A spike is also above this multiple of the median: where a loss hardly moves, its deviation means nothing.
_AT_LEAST = 1.2
_MAD_TO_SIGMA = 1.4826  # of a normal distribution
_WINDOW, _ENOUGH = 128, 64


class RollBack(Exception):
    """The run should go back to before `first_step`, and leave out the batches of the steps from it to `step`."""

    def __init__(self, reason: str, first_step: int, step: int):
        super().__init__(reason)
        self.reason, self.first_step, self.step = reason, first_step, step


@dataclasses.dataclass
class Judge:
    """Watches loss and gradient of every step; raises RollBack after `patience` bad ones in a row.

    Bad is a loss or gradient that is not finite, or a spike: a loss above median + spike_sigma * 1.4826 * MAD of the
    last 128 good losses (of at least 64), and above 1.2 times that median. Bad losses do not enter the window.
    spike_sigma=0 lets spikes pass, patience=0 everything.
    """

    patience: int
    spike_sigma: float | int

    def __post_init__(self):
        if self.patience < 0 or self.spike_sigma < 0:
            raise ConfigError("divergence.patience and divergence.spike_sigma are 0 or more")
        self._good: collections.deque[float] = collections.deque(maxlen=_WINDOW)
        self.consecutive_bad = 0

    def step(self, step: int, loss: float, finite: bool) -> str | None:
        """What is wrong with this step; None if nothing is."""
        reason = None
        if not finite or not math.isfinite(loss):
            reason = "the loss or its gradient was not finite"
        elif self._is_spike(loss):
            reason = f"the loss was {loss:.4g}, against a median of {statistics.median(self._good):.4g} before"
        if reason is None:
            self.consecutive_bad = 0
            self._good.append(loss)
            return None
        self.consecutive_bad += 1
        if self.patience and self.consecutive_bad >= self.patience:
            raise RollBack(
                f"{reason}, for {self.consecutive_bad} steps in a row",
                step - self.consecutive_bad + 1,
                step,
            )
        return reason

    def _is_spike(self, loss: float) -> bool:
        if not self.spike_sigma or len(self._good) < _ENOUGH:
            return False
        median = statistics.median(self._good)
        deviation = _MAD_TO_SIGMA * statistics.median(abs(value - median) for value in self._good)
        return loss > median + max(self.spike_sigma * deviation, (_AT_LEAST - 1) * abs(median))


class Skipped:
    """The batches that a run leaves out, kept in skipped_batches.json of its folder, with why.

    Step s takes the s-th of the batches that are left. Rollbacks count until a checkpoint lies beyond them.
    """

    def __init__(self, folder: pathlib.Path):
        self._path = folder / "skipped_batches.json"
        self._rollbacks: list[dict] = []
        if self._path.exists():
            try:
                self._rollbacks = json.loads(self._path.read_text())["rollbacks"]
            except (ValueError, KeyError):
                raise ConfigError(
                    f"{self._path} is damaged: restore it, or delete it to skip nothing"
                ) from None

    @property
    def batches(self) -> list[int]:
        """Numbers of the batches, from 0, sorted."""
        return sorted({batch for rollback in self._rollbacks for batch in rollback["batches"]})

    def rollbacks_after(self, step: int) -> int:
        """How many rollbacks were for steps beyond `step`."""
        return sum(rollback["step"] > step for rollback in self._rollbacks)

    def add(self, event: RollBack, back_to: int, *, write: bool) -> list[int]:
        """Notes a rollback, and returns the batches that it adds."""
        batches = [self.batch_of(step) for step in range(event.first_step, event.step + 1)]
        self._rollbacks.append(
            {"step": event.step, "back_to": back_to, "reason": event.reason, "batches": batches}
        )
        if write:
            write_json(self._path, {"rollbacks": self._rollbacks})
        return batches

    def batch_of(self, step: int) -> int:
        """The number of the batch that a step, from 1, takes."""
        return batch_number(step - 1, self.batches)


def batch_number(position: int, skipped: Iterable[int]) -> int:
    """The number of the batch at a position, both from 0, in the stream without the skipped ones (sorted)."""
    for batch in skipped:
        if batch > position:
            break
        position += 1
    return position
