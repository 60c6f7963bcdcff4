"""Detection of divergence, and the batches that a run skips after it.

A step that would write anything that is not finite changes nothing (training/update.py). Several
such steps in a row, or several losses far above the recent ones, mean that training cannot
continue: the run returns to its last checkpoint and skips the batches that caused it (PaLM, arXiv
2204.02311, section 5.1, restarts some 100 steps earlier and skips 200 to 500 batches). If the steps
right after that checkpoint are bad with other batches too, its state is to blame: the run returns
to the one before, and takes those batches again.
"""

import collections
import dataclasses
import math
import pathlib
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from pipeline.core.errors import ConfigError
from pipeline.storage import small_files
from pipeline.training.workdir import write_json

# A spike is also above this multiple of the median: the deviation of an almost constant loss is
# too small to judge by.
_MIN_RATIO = 1.2
_MAD_TO_SIGMA = 1.4826  # for a normal distribution
_WINDOW, _MIN_HISTORY = 128, 64


class RollBack(Exception):
    """Signal to return to before `first_step` and skip the batches of `first_step` to `step`."""

    def __init__(self, reason: str, first_step: int, step: int):
        super().__init__(reason)
        self.reason, self.first_step, self.step = reason, first_step, step


@dataclasses.dataclass
class Judge:
    """Watch on every step's loss and gradient: `patience` bad ones in a row raise RollBack.

    A step is bad if its loss or gradient is not finite, or if its loss is a spike: above
    median + spike_sigma * 1.4826 * MAD of the last 128 good losses (at least 64 of them), and above
    1.2 times that median. Bad losses do not enter the window. spike_sigma=0 accepts spikes, and
    patience=0 never rolls back.
    """

    patience: int
    spike_sigma: float | int

    def __post_init__(self):
        if self.patience < 0 or self.spike_sigma < 0:
            raise ConfigError("divergence.patience and divergence.spike_sigma are 0 or more")
        self._good: collections.deque[float] = collections.deque(maxlen=_WINDOW)
        self.consecutive_bad = 0

    def step(self, step: int, loss: float, finite: bool) -> str | None:
        """Return why this step is bad, or None for a good one.

        Raises:
          RollBack: it is the last of `patience` bad steps in a row.
        """
        reason = None
        if not finite or not math.isfinite(loss):
            reason = "the loss or its gradient was not finite"
        elif self._is_spike(loss):
            median = statistics.median(self._good)
            reason = f"the loss was {loss:.4g}, against a median of {median:.4g} before"
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
        if not self.spike_sigma or len(self._good) < _MIN_HISTORY:
            return False
        median = statistics.median(self._good)
        deviation = _MAD_TO_SIGMA * statistics.median(abs(value - median) for value in self._good)
        return loss > median + max(self.spike_sigma * deviation, (_MIN_RATIO - 1) * abs(median))


class Skipped:
    """The batches that a run skips, saved with the reasons in skipped_batches.json of its workdir.

    Step s takes the s-th batch of those that remain. Rollbacks count until a checkpoint is beyond
    them. A file that cannot be read counts as none: `adopt` then takes the batches that a
    checkpoint lists.
    """

    def __init__(self, folder: pathlib.Path):
        self._path = folder / "skipped_batches.json"
        content = small_files.content_of(self._path, is_record)
        self._is_new = content is None
        self._rollbacks: list[dict[str, Any]] = content["rollbacks"] if content else []

    @property
    def batches(self) -> list[int]:
        """Return the numbers of the skipped batches, from 0, sorted."""
        return sorted({batch for rollback in self._rollbacks for batch in rollback["batches"]})

    def adopt(self, batches: Sequence[int], step: int, *, write: bool) -> None:
        """Skip the batches that the checkpoint of `step` lists, if there was no file that does."""
        if not self._is_new or not batches:
            return
        why = f"listed by the checkpoint of step {step}"
        self._rollbacks.append(
            {"step": step, "back_to": step, "reason": why, "batches": list(batches)}
        )
        self._save(write)

    def rollbacks_after(self, step: int) -> int:
        """Return how many rollbacks were caused by steps beyond `step`, with batches to blame."""
        return sum(
            rollback["step"] > step and not rollback.get("state") for rollback in self._rollbacks
        )

    def blame_state(self, event: RollBack, start: int) -> bool:
        """Return whether the state of step `start` > 0 causes the event, rather than its batches.

        Every step since was bad, and so it was before, with other batches. The batches that
        rollbacks to this step have added are then taken again.
        """
        if not 0 < start == event.first_step - 1:
            return False
        before = [
            rollback
            for rollback in self._rollbacks
            if rollback["back_to"] == start
            and rollback.get("first_step") == start + 1
            and not rollback.get("state")
        ]
        for rollback in before:
            rollback.update(batches=[], state=True)
        return bool(before)

    def add(
        self, event: RollBack, back_to: int, *, write: bool, with_batches: bool = True
    ) -> list[int]:
        """Record a rollback and return the batches that it adds; `write` saves them to the file.

        Without `with_batches`, the state is to blame, and the rollback is not counted.
        """
        steps = range(event.first_step, event.step + 1) if with_batches else ()
        batches = [self.batch_of(step) for step in steps]
        about = {"step": event.step, "first_step": event.first_step, "back_to": back_to}
        about |= {"reason": event.reason, "batches": batches}
        self._rollbacks.append(about if with_batches else about | {"state": True})
        self._save(write)
        return batches

    def _save(self, write: bool) -> None:
        self._is_new = False
        if write:
            write_json(self._path, {"rollbacks": self._rollbacks})

    def batch_of(self, step: int) -> int:
        """Return the number of the batch that a step, from 1, takes."""
        return batch_number(step - 1, self.batches)


def is_record(content: Any) -> bool:
    """Return whether the content of skipped_batches.json has the shape that `Skipped` writes."""
    rollbacks = content.get("rollbacks") if isinstance(content, dict) else None
    return isinstance(rollbacks, list) and all(
        isinstance(each, dict)
        and type(each.get("step")) is int
        and type(each.get("back_to")) is int
        and isinstance(each.get("batches"), list)
        and all(type(batch) is int and batch >= 0 for batch in each["batches"])
        for each in rollbacks
    )


def batch_number(position: int, skipped: Iterable[int]) -> int:
    """Return the number of the batch at `position` in a stream without the sorted `skipped`.

    Both count from 0.
    """
    for batch in skipped:
        if batch > position:
            break
        position += 1
    return position
