"""Estimate step time, run time and the cost of preemptions by formulas over plain numbers."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from pipeline.core.chips import Chip

SECONDS_A_DAY = 86_400.0
STEP_FORMULA = (
    "max(FLOPs / (peak x utilisation), bytes / memory bandwidth) "
    "+ collective bytes / link bandwidth"
)
CODEC_FORMULA = "sum over pieces of max(FLOPs / (peak x utilisation), bytes / memory bandwidth)"
INTERVAL_FORMULA = "sqrt(2 x save seconds x mean seconds between preemptions)"


@dataclasses.dataclass(frozen=True)
class StepTime:
    """Seconds of a step: the larger of compute and memory, plus communication without overlap."""

    compute: float
    memory: float
    communication: float

    @property
    def total(self) -> float:
        """Seconds of the whole step, by STEP_FORMULA."""
        return max(self.compute, self.memory) + self.communication


@dataclasses.dataclass(frozen=True)
class Run:
    """The stages of a run as (number of steps, step time), and the index of the stage to show."""

    stages: Sequence[tuple[int, StepTime]]
    number: int = 0

    @property
    def seconds(self) -> float:
        """Seconds of all steps of all stages."""
        return sum(num_steps * step.total for num_steps, step in self.stages)

    @property
    def shown(self) -> StepTime:
        """Step time of the stage to show."""
        return self.stages[self.number][1]


def step_time(
    chip: Chip,
    dtype: str,
    *,
    flops: float,
    accessed_bytes: float,
    moved_bytes: float,
    utilisation: float,
) -> StepTime:
    """Return the step time of one device that runs `flops`, accesses and sends these bytes.

    `utilisation` is the assumed fraction of the published peak that matrix products reach. The
    memory time is a lower bound only where XLA's byte count is memory traffic: it counts what each
    fused operation reads and writes, even where the data stays on the chip.
    """
    peak = chip.bfloat16 if dtype == "bfloat16" else chip.float32
    return StepTime(
        compute=flops / (peak * utilisation),
        memory=accessed_bytes / chip.memory_bandwidth,
        communication=moved_bytes / chip.link_bandwidth,
    )


def moved_bytes(collectives: Mapping[str, Mapping[str, int]]) -> int:
    """Return the bytes that a device sends in all collectives of a step."""
    return sum(entry["moved_bytes"] for entry in collectives.values())


def best_interval(save_seconds: float, preemptions_per_day: float) -> float:
    """Return the seconds between checkpoints that lose the least time, by INTERVAL_FORMULA.

    This is equation 8 of Young 1974; infinite without preemptions. `save_seconds` is how long a
    save blocks the training loop.
    """
    if preemptions_per_day == 0:
        return math.inf
    return math.sqrt(2 * save_seconds * SECONDS_A_DAY / preemptions_per_day)


@dataclasses.dataclass(frozen=True)
class Loss:
    """Time that a run loses, in steps: to redone work since the last checkpoint, and to saving."""

    redone: float
    saving: float

    @property
    def total(self) -> float:
        """Total lost time, in steps."""
        return self.redone + self.saving


def lost_steps(
    *,
    num_steps: int,
    step_seconds: float,
    every: int,
    preemptions_per_day: float,
    save_seconds: float,
) -> Loss:
    """Return the time lost with a checkpoint every `every` steps, half of them redone on average.

    First order: preemptions during lost time, and the time to restart, are not counted.
    """
    preemptions = preemptions_per_day * num_steps * step_seconds / SECONDS_A_DAY
    return Loss(
        redone=preemptions * every / 2, saving=num_steps / every * save_seconds / step_seconds
    )
