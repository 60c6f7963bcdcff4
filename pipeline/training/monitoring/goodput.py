"""The share of a run's wall time spent on steps that count, over all its starts (goodput.json)."""

import contextlib
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from pipeline.storage import small_files
from pipeline.training.runtime.phases import NAMES, Phases
from pipeline.training.workdir import write_json

# In addition to the phases: steps lost to a stop or a rollback, and the time between two starts.
LOST, DOWN = "lost", "down"
_MOST = 1e18  # no number that is written is larger


class Goodput:
    """Seconds in each phase, summed over restarts; the share of "step" is the goodput.

    A start that resumes after step s reads how far the previous one had come. The time of the steps
    beyond s moves from "step" to "lost", at the previous start's mean time per step.
    """

    def __init__(self, folder: pathlib.Path, phases: Phases, *, enabled: bool = True):
        self._path, self._phases, self._enabled = folder / "goodput.json", phases, enabled
        self._before = dict.fromkeys((*NAMES, LOST, DOWN), 0.0)
        self._counted = dict.fromkeys(NAMES, 0.0)
        self._starts = 1
        self._first_step = self._step = 0
        self._step_seconds = 0.0
        saved = small_files.content_of(self._path, is_record) if enabled else None
        if saved is None:  # only a statistic: a damaged file starts over
            return
        self._before |= saved["seconds"]
        self._starts = saved["starts"] + 1
        self._step, self._step_seconds = saved["step"], saved["seconds_per_step"]
        self._before[DOWN] += max(0.0, time.time() - saved["at"] - sum(phases.seconds.values()))

    def resumed(self, step: int) -> None:
        """Continue after `step`: the steps already done beyond it are lost."""
        lost = max(0, self._step - step) * self._step_seconds
        lost = min(lost, self._total()["step"])
        self._before["step"] -= lost
        self._before[LOST] += lost
        self._first_step = self._step = step
        self._counted = dict(self._phases.seconds)

    def report(self, step: int) -> dict[str, float]:
        """Return each phase's share of the wall time so far, for the log, and update the file."""
        here = self._phases.seconds["step"] - self._counted["step"]
        if step > self._first_step:
            self._step_seconds = here / (step - self._first_step)
        self._step = step
        total = self._total()
        whole = sum(total.values()) or 1.0
        if self._enabled:
            content = {
                "goodput": total["step"] / whole,
                "seconds": {name: round(seconds, 3) for name, seconds in total.items()},
                "starts": self._starts,
                "step": step,
                "seconds_per_step": self._step_seconds,
                "at": time.time(),
            }
            with contextlib.suppress(OSError):  # a full disk: the next report writes the totals
                write_json(self._path, content)
        return {"goodput": total["step"] / whole} | {
            f"time_{name}": total[name] / whole for name in total
        }

    def _total(self) -> dict[str, float]:
        seconds: Mapping[str, float] = self._phases.seconds
        return {name: self._before[name] + seconds.get(name, 0.0) for name in self._before}


def is_record(content: Any) -> bool:
    """Return whether the content of goodput.json has the shape that `Goodput` writes."""
    if not isinstance(content, dict) or not isinstance(content.get("seconds"), dict):
        return False
    numbers = [content.get(key) for key in ("starts", "step", "seconds_per_step", "at")]
    numbers += content["seconds"].values()
    return set(content["seconds"]) <= {*NAMES, LOST, DOWN} and all(
        isinstance(number, int | float) and 0 <= number < _MOST for number in numbers
    )
