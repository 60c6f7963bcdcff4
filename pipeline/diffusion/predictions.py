"""What a network predicts of x_t = alpha x + sigma e, and how each prediction gives x and e.

Every prediction is a sum a x + b e with coefficients of the time, so that with x_t it determines
both:

    x = (b x_t - sigma p) / d,    e = (alpha p - a x_t) / d,    d = alpha b - sigma a

| name | a, b | |
|---|---|---|
| `noise` | 0, 1 | DDPM, arXiv 2006.11239 |
| `data` | 1, 0 | |
| `score` | 0, -1 / sigma | the gradient of log p(x_t), arXiv 2011.13456 |
| `v` | -sigma, alpha | arXiv 2202.00512, eq. 8 |
| `velocity` | d alpha / dt, d sigma / dt | flow matching, arXiv 2210.02747 |
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.diffusion.paths import Path
from pipeline.diffusion.paths.base import Time, over_axes

# (x_t [b ...], t [b]) -> a prediction in the shape of x_t.
Predict = Callable[[Float[Array, "b ..."], Float[Array, " b"]], Float[Array, "b ..."]]


class Parts(NamedTuple):
    """The data x and the noise e of which x_t is made, as predicted."""

    data: Float[Array, "b ..."]
    noise: Float[Array, "b ..."]


# (x_t [b ...], t [b]) -> its parts: what samplers take.
Split = Callable[[Float[Array, "b ..."], Float[Array, " b"]], Parts]

# (path, t) -> (a, b)
COEFFICIENTS: dict[str, Callable[[Path, Time], tuple[Time, Time]]] = {
    "noise": lambda path, t: (jnp.zeros_like(t), jnp.ones_like(t)),
    "data": lambda path, t: (jnp.ones_like(t), jnp.zeros_like(t)),
    "score": lambda path, t: (jnp.zeros_like(t), -1 / path.sigma(t)),
    "v": lambda path, t: (-path.sigma(t), path.alpha(t)),
    "velocity": lambda path, t: (path.alpha_rate(t), path.sigma_rate(t)),
}


def check(name: str, *, where: str = "prediction") -> str:
    """Return the name of a prediction.

    Raises:
      ConfigError: an unknown name.
    """
    if name not in COEFFICIENTS:
        raise ConfigError(f"{where}={name!r} must be one of {', '.join(sorted(COEFFICIENTS))}")
    return name


def target(
    name: str,
    path: Path,
    x: Float[Array, "b ..."],
    noise: Float[Array, "b ..."],
    t: Float[Array, " b"],
) -> Float[Array, "b ..."]:
    """Return what a network of this prediction has to predict of x_t."""
    a, b = COEFFICIENTS[name](path, t)
    return over_axes(a, x) * x + over_axes(b, x) * noise


def parts(
    name: str,
    path: Path,
    prediction: Float[Array, "b ..."],
    x_t: Float[Array, "b ..."],
    t: Float[Array, " b"],
) -> Parts:
    """Return the data and the noise that a prediction says x_t is made of.

    Where the coefficient of a part is 0 (the data at alpha = 0 from its noise), it is not finite.
    """
    a, b = COEFFICIENTS[name](path, t)
    alpha, sigma = path.alpha(t), path.sigma(t)
    determinant = alpha * b - sigma * a

    def combine(of_x_t: Time, of_prediction: Time) -> Float[Array, "b ..."]:
        return (
            over_axes(of_x_t / determinant, x_t) * x_t
            + over_axes(of_prediction / determinant, x_t) * prediction
        )

    return Parts(combine(b, -sigma), combine(-a, alpha))


def convert(
    old: str,
    new: str,
    path: Path,
    prediction: Float[Array, "b ..."],
    x_t: Float[Array, "b ..."],
    t: Float[Array, " b"],
) -> Float[Array, "b ..."]:
    """Return the prediction `new` that says the same of x_t as the prediction `old`."""
    data, noise = parts(old, path, prediction, x_t, t)
    return target(new, path, data, noise, t)


def splitter(name: str, path: Path, predict: Predict) -> Split:
    """Return the function from x_t to its parts of a network that predicts `name`.

    Raises:
      ConfigError: an unknown name.
    """
    check(name)

    def split(x_t: Float[Array, "b ..."], t: Float[Array, " b"]) -> Parts:
        return parts(name, path, predict(x_t, t), x_t, t)

    return split


def noise_error_scale(name: str, path: Path, t: Time) -> Time:
    """Return the error of e for an error of 1 in the prediction: alpha / |d|."""
    a, b = COEFFICIENTS[name](path, t)
    alpha = path.alpha(t)
    return alpha / jnp.abs(alpha * b - path.sigma(t) * a)
