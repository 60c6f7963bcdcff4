"""What every path from data to noise has, by its two coefficients."""

import abc
import dataclasses
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# A time, or times of any shape.
Time = Float[Array, "*t"]


class Transition(NamedTuple):
    """x_t = scale x_s + sqrt(variance) e of a later time t, given x_s of an earlier time s."""

    scale: Time
    variance: Time


@dataclasses.dataclass(frozen=True)
class Path(abc.ABC):
    """x_t = alpha(t) x + sigma(t) e, with a signal-to-noise ratio that falls with t.

    Arithmetic is in float32. At the ends, where a coefficient is 0, logarithms are infinite;
    `earliest` and `latest` are the times between which a path is trained and sampled.
    """

    earliest: ClassVar[float] = 0.0
    latest: ClassVar[float] = 1.0

    @abc.abstractmethod
    def alpha(self, t: Time) -> Time:
        """Return the factor of the data."""

    @abc.abstractmethod
    def sigma(self, t: Time) -> Time:
        """Return the standard deviation of the noise."""

    def at(
        self, x: Float[Array, "b ..."], noise: Float[Array, "b ..."], t: Float[Array, " b"]
    ) -> Float[Array, "b ..."]:
        """Return x_t of each example at its own time."""
        return over_axes(self.alpha(t), x) * x + over_axes(self.sigma(t), x) * noise

    def log_snr(self, t: Time) -> Time:
        """Return log(alpha^2 / sigma^2)."""
        return 2 * (jnp.log(self.alpha(t)) - jnp.log(self.sigma(t)))

    def alpha_rate(self, t: Time) -> Time:
        """Return d alpha / dt."""
        return _rate(self.alpha, t)

    def sigma_rate(self, t: Time) -> Time:
        """Return d sigma / dt."""
        return _rate(self.sigma, t)

    def drift(self, t: Time) -> Time:
        """Return f = d log alpha / dt of dx = f(t) x dt + g(t) dw with the path's marginals."""
        return self.alpha_rate(t) / self.alpha(t)

    def diffusion(self, t: Time) -> Time:
        """Return g(t)^2: d sigma^2 / dt - 2 f sigma^2 (arXiv 2107.00630, eq. 26)."""
        sigma = self.sigma(t)
        return 2 * sigma * (self.sigma_rate(t) - self.drift(t) * sigma)

    def transition(self, s: Time, t: Time) -> Transition:
        """Return q(x_t | x_s) of s < t (arXiv 2107.00630, eq. 21 and 22)."""
        scale = self.alpha(t) / self.alpha(s)
        return Transition(scale, self.sigma(t) ** 2 - (scale * self.sigma(s)) ** 2)


def over_axes(values: Float[Array, " b"], x: Float[Array, "b ..."]) -> Float[Array, "b ..."]:
    """Return values [b 1 ...], in x's dtype, one for each example of x."""
    return values.reshape(-1, *[1] * (x.ndim - 1)).astype(x.dtype)


def _rate(function: Callable[[Time], Time], t: Time) -> Time:
    t = jnp.asarray(t, jnp.float32)
    return jax.jvp(function, (t,), (jnp.ones_like(t),))[1]
