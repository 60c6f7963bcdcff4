"""The variance-preserving path of linear betas (arXiv 2011.13456, appendix B; 2006.11239)."""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp

from pipeline.core.errors import ConfigError
from pipeline.diffusion.paths.base import Path, Time


@dataclasses.dataclass(frozen=True)
class VariancePreserving(Path):
    """alpha = exp(-B/2), sigma^2 = 1 - exp(-B), with B the integral of beta from 0 to t.

    beta(t) = first + (last - first) t. DDPM's 1,000 betas from 1e-4 to 2e-2 are this path in steps
    of 1/1000.
    """

    first: float = 0.1
    last: float = 20.0
    # sigma has an infinite derivative at 0.
    earliest: ClassVar[float] = 1e-5

    def __post_init__(self):
        check_betas(self.first, self.last)

    def alpha(self, t: Time) -> Time:
        return jnp.exp(-integral(self.first, self.last, t) / 2)

    def sigma(self, t: Time) -> Time:
        return jnp.sqrt(-jnp.expm1(-integral(self.first, self.last, t)))


def integral(first: float, last: float, t: Time) -> Time:
    """Return the integral of beta(t) = first + (last - first) t from 0 to t."""
    return first * t + (last - first) / 2 * jnp.square(t)


def check_betas(first: float, last: float) -> None:
    """Raise ConfigError unless beta is positive and does not fall."""
    if not 0 < first <= last:
        raise ConfigError(
            f"path: beta goes from first={first} to last={last}, which must be positive numbers "
            "and the last not below the first"
        )
