"""Which checkpoints stay."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from pipeline.core.errors import ConfigError

_LARGER_IS_BETTER = ("psnr", "ssim", "ms_ssim")


@dataclasses.dataclass(frozen=True)
class Retention:
    """The last `keep` steps (0: all), all multiples of `keep_every` (0: none), and the `keep_best` best by a metric.

    `best` names a metric of the evaluation, "bits_per_dim" or "psnr"; steps without one are no candidates.
    """

    keep: int = 0
    keep_every: int = 0
    best: str = ""
    keep_best: int = 1

    def __post_init__(self):
        if min(self.keep, self.keep_every, self.keep_best) < 0:
            raise ConfigError("checkpoint.keep, keep_every and keep_best are 0 or more")

    def superfluous(
        self, steps: Sequence[int], metrics: Mapping[int, Mapping[str, float]]
    ) -> list[int]:
        """Those of `steps`, oldest first, that may go; never the newest."""
        if not self.keep:
            return []
        stay = set(steps[-self.keep :]) | set(self.best_of(metrics)[: self.keep_best])
        if self.keep_every:
            stay |= {step for step in steps if step % self.keep_every == 0}
        return [step for step in steps[:-1] if step not in stay]

    def best_of(self, metrics: Mapping[int, Mapping[str, float]]) -> list[int]:
        """Steps that have the metric, the best first, and of equal ones the newest."""
        sign = -1 if self.best in _LARGER_IS_BETTER else 1
        values = {step: each[self.best] for step, each in metrics.items() if self.best in each}
        good = {step: sign * value for step, value in values.items() if math.isfinite(value)}
        return sorted(good, key=lambda step: (good[step], -step))
