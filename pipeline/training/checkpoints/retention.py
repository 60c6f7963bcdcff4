"""Rules that decide which checkpoints are kept."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from pipeline.core.errors import ConfigError
from pipeline.metrics import catalogue


@dataclasses.dataclass(frozen=True)
class Retention:
    """The checkpoints to keep.

    These are the last `keep` steps (0: all), all multiples of `keep_every` (0: none), and the
    `keep_best` best ones by the evaluation metric `best`, such as "psnr". Steps that were not
    evaluated by it cannot be the best.

    Raises:
      ConfigError: a number below 0, or a `best` that is no metric, has no better direction or is
        not logged in training.
    """

    keep: int = 0
    keep_every: int = 0
    best: str = ""
    keep_best: int = 1

    def __post_init__(self):
        if min(self.keep, self.keep_every, self.keep_best) < 0:
            raise ConfigError("checkpoint.keep, keep_every and keep_best are 0 or more")
        if not self.best:
            return
        metric = catalogue.find(self.best, where="checkpoint.best")
        if metric.larger_is_better is None:
            raise ConfigError(
                f"checkpoint.best={self.best!r}: neither a higher nor a lower value is better; "
                "name a metric with a direction, such as 'psnr' (strata eval --help lists them)"
            )
        if not metric.in_training:
            measured = [
                each.name
                for each in catalogue.entries()
                if each.in_training and each.larger_is_better is not None
            ]
            raise ConfigError(
                f"checkpoint.best={self.best!r} is not logged in training; "
                f"name one of {', '.join(measured)}"
            )

    def superfluous(
        self, steps: Sequence[int], metrics: Mapping[int, Mapping[str, float]]
    ) -> list[int]:
        """Return the steps to delete, from all `steps` in ascending order; never the newest."""
        if not self.keep:
            return []
        stay = set(steps[-self.keep :]) | set(self.best_of(metrics)[: self.keep_best])
        if self.keep_every:
            stay |= {step for step in steps if step % self.keep_every == 0}
        return [step for step in steps[:-1] if step not in stay]

    def best_of(self, metrics: Mapping[int, Mapping[str, float]]) -> list[int]:
        """Return the steps that have the metric, best first; among equals, the newest first."""
        if not self.best:
            return []
        sign = -1 if self._larger_is_better else 1
        values = {step: each[self.best] for step, each in metrics.items() if self.best in each}
        good = {step: sign * value for step, value in values.items() if math.isfinite(value)}
        return sorted(good, key=lambda step: (good[step], -step))

    @property
    def _larger_is_better(self) -> bool | None:
        return catalogue.find(self.best, where="checkpoint.best").larger_is_better
