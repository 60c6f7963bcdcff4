"""The cross-entropy of a distribution to a diffusion model, as LSGM bounds it."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.diffusion import weightings
from pipeline.diffusion.paths import Path
from pipeline.diffusion.paths.base import over_axes
from pipeline.diffusion.predictions import Predict
from pipeline.diffusion.times import Times


def cross_entropy(
    predict_noise: Predict,
    x: Float[Array, "b ..."],
    noise: Float[Array, "b ..."],
    times: Times,
    *,
    path: Path,
    earliest: float,
) -> Float[Array, "b ..."]:
    """Return an estimate of -log p(x) of each element from one time an example, in nats.

    Its expectation is the integral of g^2 / (2 sigma^2) ||e - e^||^2 over the time plus
    (d / 2) log(2 pi e sigma^2(earliest)), with d elements (arXiv 2106.05931, theorem 1). Gradients
    reach x through x_t.

    Args:
      predict_noise: (x_t, t) -> the noise.
      times: drawn from `earliest` to the path's latest, by any name of pipeline.diffusion.times.
      earliest: the first time, below which the bound assumes a Gaussian.
    """
    t = times.t
    error = jnp.square(noise - predict_noise(path.at(x, noise, t), t).astype(jnp.float32))
    weight = times.weight * weightings.likelihood(path, t)
    variance = jnp.square(path.sigma(jnp.float32(earliest)))
    return over_axes(weight, x) * error + (jnp.log(variance) + math.log(2 * math.pi * math.e)) / 2
