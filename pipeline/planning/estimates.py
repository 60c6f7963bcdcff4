"""What a run would take, by formulas: seconds a step, days, what preemptions cost. Every input is a plain number."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from pipeline.core.chips import Chip

SECONDS_A_DAY = 86_400.0
STEP_FORMULA = "max(FLOPs / (peak x utilisation), bytes / memory bandwidth) + collective bytes / link bandwidth"
INTERVAL_FORMULA = "sqrt(2 x save seconds x mean seconds between preemptions)"


@dataclasses.dataclass(frozen=True)
class StepTime:
    """Seconds of a step by part: the larger of compute and memory, and then communication, as if none overlapped."""

    compute: float
    memory: float
    communication: float

    @property
    def total(self) -> float:
        """STEP_FORMULA."""
        return max(self.compute, self.memory) + self.communication


@dataclasses.dataclass(frozen=True)
class Run:
    """The stages of a run, (steps, time of one) each, and the number of the one whose step is shown."""

    stages: Sequence[tuple[int, StepTime]]
    number: int = 0

    @property
    def seconds(self) -> float:
        """Of all steps of all stages."""
        return sum(num_steps * step.total for num_steps, step in self.stages)

    @property
    def shown(self) -> StepTime:
        """A step of the stage of that number."""
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
    """A step of one device that runs `flops`, touches and sends so many bytes.

    `utilisation` is the assumed share of the published peak that products reach. The memory's share is a lower bound
    of time only where XLA's count of bytes is one of traffic: it counts what each fused operation reads and writes,
    also where that stays on the chip.
    """
    peak = chip.bfloat16 if dtype == "bfloat16" else chip.float32
    return StepTime(
        compute=flops / (peak * utilisation),
        memory=accessed_bytes / chip.memory_bandwidth,
        communication=moved_bytes / chip.link_bandwidth,
    )


def moved_bytes(collectives: Mapping[str, Mapping[str, int]]) -> int:
    """Bytes that a device sends in all collectives of a step."""
    return sum(entry["moved_bytes"] for entry in collectives.values())


def best_interval(save_seconds: float, preemptions_per_day: float) -> float:
    """Seconds between checkpoints that lose least (Young 1974, equation 8): INTERVAL_FORMULA.

    Infinite without preemptions. `save_seconds` is how long a save keeps the loop from stepping.
    """
    if preemptions_per_day == 0:
        return math.inf
    return math.sqrt(2 * save_seconds * SECONDS_A_DAY / preemptions_per_day)


@dataclasses.dataclass(frozen=True)
class Loss:
    """Steps' worth of time that a run loses: to the work since the last checkpoint, and to writing checkpoints."""

    redone: float
    saving: float

    @property
    def total(self) -> float:
        """Both together, in steps."""
        return self.redone + self.saving


def lost_steps(
    *,
    num_steps: int,
    step_seconds: float,
    every: int,
    preemptions_per_day: float,
    save_seconds: float,
) -> Loss:
    """With a checkpoint `every` so many steps, half of them are redone at each preemption, on average.

    To first order: preemptions in the time that is lost are not counted, nor is the time to start again.
    """
    preemptions = preemptions_per_day * num_steps * step_seconds / SECONDS_A_DAY
    return Loss(
        redone=preemptions * every / 2, saving=num_steps / every * save_seconds / step_seconds
    )
