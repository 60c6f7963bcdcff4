"""The sub-VP path, with less variance than the variance-preserving one (arXiv 2011.13456)."""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp

from pipeline.diffusion.paths.base import Path, Time
from pipeline.diffusion.paths.variance_preserving import check_betas, integral


@dataclasses.dataclass(frozen=True)
class SubVariancePreserving(Path):
    """alpha = exp(-B/2), sigma = 1 - exp(-B) (eq. 29 of the paper), with B as for beta's path."""

    first: float = 0.1
    last: float = 20.0
    earliest: ClassVar[float] = 1e-5

    def __post_init__(self):
        check_betas(self.first, self.last)

    def alpha(self, t: Time) -> Time:
        return jnp.exp(-integral(self.first, self.last, t) / 2)

    def sigma(self, t: Time) -> Time:
        return -jnp.expm1(-integral(self.first, self.last, t))
