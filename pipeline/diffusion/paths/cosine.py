"""The cosine path (arXiv 2102.09672, eq. 17), in continuous time."""

import dataclasses
import math
from typing import ClassVar

import jax.numpy as jnp

from pipeline.core.errors import ConfigError
from pipeline.diffusion.paths.base import Path, Time


@dataclasses.dataclass(frozen=True)
class Cosine(Path):
    """alpha = cos(a(t)) / cos(a(0)) with a(t) = pi/2 (t + offset) / (1 + offset), variance 1.

    The paper bounds each of its discrete betas by 0.999; here the path ends at `latest`, where the
    signal-to-noise ratio is 2e-8 instead of 0.
    """

    offset: float = 0.008
    earliest: ClassVar[float] = 1e-5
    latest: ClassVar[float] = 0.9999

    def __post_init__(self):
        if not 0 <= self.offset < 1:
            raise ConfigError(f"path.offset={self.offset!r} must be in [0, 1), such as 0.008")

    def alpha(self, t: Time) -> Time:
        return jnp.cos(self._angle(t)) / math.cos(self._angle(0.0))

    def sigma(self, t: Time) -> Time:
        # 1 - (cos a / cos a0)^2 = sin(a - a0) sin(a + a0) / cos^2 a0 keeps its digits near t = 0.
        first, angle = self._angle(0.0), self._angle(t)
        return jnp.sqrt(jnp.sin(angle - first) * jnp.sin(angle + first)) / math.cos(first)

    def _angle(self, t):
        return math.pi / 2 * (t + self.offset) / (1 + self.offset)
