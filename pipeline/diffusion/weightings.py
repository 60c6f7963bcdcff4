"""What the squared error of the noise weighs at each time, by name.

An error of x is sigma / alpha times the error of e, and any other prediction has its own factor, so
that one weighting of the noise's error covers all predictions:

| name | weight of ||e - e^||^2 | |
|---|---|---|
| `noise` | 1 | DDPM's simple loss, arXiv 2006.11239, eq. 14 |
| `data` | 1 / SNR | the error of x weighs 1 |
| `own` | the error of what the network predicts weighs 1 | flow matching with `velocity` |
| `truncated_snr` | max(1, 1 / SNR) | the error of x weighs max(SNR, 1), arXiv 2202.00512 |
| `min_snr` | min(1, 5 / SNR) | the error of x weighs min(SNR, 5), arXiv 2303.09556 |
| `likelihood` | g^2 / (2 sigma^2) | the bound on log p(x), arXiv 2101.09258; summed over x |
"""

from collections.abc import Callable

import jax.numpy as jnp

from pipeline.core.errors import ConfigError
from pipeline.diffusion import predictions
from pipeline.diffusion.paths import Path
from pipeline.diffusion.paths.base import Time


def _inverse_snr(path: Path, t: Time) -> Time:
    return jnp.square(path.sigma(t) / path.alpha(t))


def likelihood(path: Path, t: Time) -> Time:
    """Return g^2 / (2 sigma^2), half the rate at which the log of the SNR falls."""
    return path.diffusion(t) / (2 * jnp.square(path.sigma(t)))


# (path, t) -> weight of the noise's error
WEIGHTINGS: dict[str, Callable[[Path, Time], Time]] = {
    "noise": lambda path, t: jnp.ones_like(t),
    "data": _inverse_snr,
    "truncated_snr": lambda path, t: jnp.maximum(1, _inverse_snr(path, t)),
    "min_snr": lambda path, t: jnp.minimum(1, 5 * _inverse_snr(path, t)),
    "likelihood": likelihood,
}


def check(name: str, *, where: str = "weighting") -> str:
    """Return the name of a weighting.

    Raises:
      ConfigError: an unknown name.
    """
    if name != "own" and name not in WEIGHTINGS:
        known = ", ".join(sorted([*WEIGHTINGS, "own"]))
        raise ConfigError(f"{where}={name!r} must be one of {known}")
    return name


def in_prediction(name: str, prediction: str, path: Path, t: Time) -> Time:
    """Return what the squared error of the prediction itself weighs at each time.

    Raises:
      ConfigError: an unknown name.
    """
    if check(name) == "own":
        return jnp.ones_like(t)
    scale = predictions.noise_error_scale(prediction, path, t)
    return WEIGHTINGS[name](path, t) * jnp.square(scale)
