"""The path of geometric variances (LSGM, arXiv 2106.05931, appendix on the geometric VPSDE)."""

import dataclasses
import math

import jax.numpy as jnp

from pipeline.core.errors import ConfigError
from pipeline.diffusion.paths.base import Path, Time


@dataclasses.dataclass(frozen=True)
class Geometric(Path):
    """sigma^2 = smallest (largest / smallest)^t and alpha^2 = 1 - sigma^2 to a constant.

    alpha is 1 at t = 0, where the variance already is `smallest`: alpha^2 is
    (1 - sigma^2) / (1 - smallest), as the drift of a variance-preserving equation makes it.
    """

    smallest: float = 3e-5
    largest: float = 0.999

    def __post_init__(self):
        if not 0 < self.smallest < self.largest < 1:
            raise ConfigError(
                f"path: variances go from smallest={self.smallest} to largest={self.largest}, "
                "which must be between 0 and 1 and rise"
            )

    def alpha(self, t: Time) -> Time:
        return jnp.sqrt((1 - self._variance(t)) / (1 - self.smallest))

    def sigma(self, t: Time) -> Time:
        return jnp.sqrt(self._variance(t))

    def _variance(self, t: Time) -> Time:
        return self.smallest * jnp.exp(t * math.log(self.largest / self.smallest))
