"""How the times of a batch are drawn, by name, and what each draw weighs.

| name | density of t | weight | |
|---|---|---|---|
| `uniform` | 1 / (latest - earliest) | 1 / density | |
| `logit_normal` | t is the sigmoid of N(0, 1) | 1: part of the loss | arXiv 2403.03206 |
| `log_variance` | log sigma^2 is uniform | 1 / density | LSGM's for the `likelihood` weighting |
| `variance` | sigma^2 is uniform | 1 / density | LSGM's for g^2 / 2 |
| `signal` | proportional to alpha^2 | 1 / density | LSGM's for the `noise` weighting |

The last three are importance samplers (arXiv 2106.05931, section 3.3): the weighted mean of a loss
estimates its integral over t as with `uniform`, with less variance where the loss follows them.
The numbers behind the times of one batch are evenly spaced with a shift in common, each uniform
alone, which reduces the variance further (arXiv 2107.00630, appendix I).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.core.errors import ConfigError
from pipeline.diffusion.paths import Path
from pipeline.diffusion.paths.base import Time

# Halvings of the interval that holds a time: as many as float32 tells apart.
_HALVINGS = 30
_INTERVALS = 4096


class Times(NamedTuple):
    """Times [b] and the factor [b] of the loss at each."""

    t: Float[Array, " b"]
    weight: Float[Array, " b"]


# (path, earliest, latest, uniform numbers [b]) -> times
Draw = Callable[[Path, float, float, Float[Array, " b"]], Times]


def draw(
    name: str,
    path: Path,
    key: PRNGKeyArray,
    count: int,
    *,
    earliest: float | None = None,
    latest: float | None = None,
) -> Times:
    """Draw the times of a batch of `count` examples.

    Args:
      earliest: the first time, or None for the path's.
      latest: the last time, or None for the path's.

    Raises:
      ConfigError: an unknown name, or times out of order.
    """
    if name not in DRAWS:
        raise ConfigError(f"times={name!r} must be one of {', '.join(sorted(DRAWS))}")
    first = path.earliest if earliest is None else earliest
    last = path.latest if latest is None else latest
    if not 0 <= first < last <= 1:
        raise ConfigError(f"times from {first} to {last} must rise within 0 and 1")
    return DRAWS[name](path, first, last, spread(key, count))


def spread(key: PRNGKeyArray, count: int) -> Float[Array, " b"]:
    """Return numbers in [0, 1), each uniform, evenly spaced from a shift in common."""
    return (jax.random.uniform(key, ()) + jnp.arange(count) / count) % 1.0


def _uniform(path: Path, first: float, last: float, numbers: Float[Array, " b"]) -> Times:
    del path
    return Times(first + (last - first) * numbers, jnp.full_like(numbers, last - first))


def _logit_normal(path: Path, first: float, last: float, numbers: Float[Array, " b"]) -> Times:
    del path
    # Numbers of 0 have no logit.
    normal = jax.scipy.special.ndtri(jnp.clip(numbers, 1e-6, 1 - 1e-6))
    return Times(jnp.clip(jax.nn.sigmoid(normal), first, last), jnp.ones_like(numbers))


def _uniform_in(function: Callable[[Path, Time], Time]) -> Draw:
    """Return a draw that makes a rising function of the time uniform."""

    def draw_times(path: Path, first: float, last: float, numbers: Float[Array, " b"]) -> Times:
        low, high = (function(path, jnp.float32(t)) for t in (first, last))
        t = solve(lambda t: function(path, t), low + (high - low) * numbers, first, last)
        rate = jax.jvp(lambda t: function(path, t), (t,), (jnp.ones_like(t),))[1]
        return Times(t, (high - low) / rate)

    return draw_times


def solve(
    function: Callable[[Time], Time], values: Float[Array, " b"], first: float, last: float
) -> Float[Array, " b"]:
    """Return the times at which a rising function has the values, by bisection."""

    def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) / 2
        below = function(middle) < values
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    bounds = jnp.full_like(values, first), jnp.full_like(values, last)
    low, high = jax.lax.fori_loop(0, _HALVINGS, halve, bounds)
    return (low + high) / 2


def _signal(path: Path, first: float, last: float, numbers: Float[Array, " b"]) -> Times:
    """Draw from alpha^2 as a step function, whose density is known without an error."""
    edges = np.linspace(first, last, _INTERVALS + 1)
    heights = jnp.square(path.alpha(jnp.asarray((edges[1:] + edges[:-1]) / 2, jnp.float32)))
    shares = heights / heights.sum()
    ends = jnp.concatenate([jnp.zeros(1), jnp.cumsum(shares)])
    interval = jnp.clip(jnp.searchsorted(ends, numbers, side="right") - 1, 0, _INTERVALS - 1)
    width = (last - first) / _INTERVALS
    within = jnp.clip((numbers - ends[interval]) / shares[interval], 0, 1)
    return Times(first + width * (interval + within), width / shares[interval])


DRAWS: dict[str, Draw] = {
    "uniform": _uniform,
    "logit_normal": _logit_normal,
    "log_variance": _uniform_in(lambda path, t: 2 * jnp.log(path.sigma(t))),
    "variance": _uniform_in(lambda path, t: jnp.square(path.sigma(t))),
    "signal": _signal,
}
