"""The straight path of flow matching and rectified flows (arXiv 2210.02747, 2209.03003)."""

import dataclasses

from pipeline.diffusion.paths.base import Path, Time


@dataclasses.dataclass(frozen=True)
class Straight(Path):
    """alpha = 1 - t, sigma = t, so that the velocity e - x does not change along the path."""

    def alpha(self, t: Time) -> Time:
        return 1 - t

    def sigma(self, t: Time) -> Time:
        return t
