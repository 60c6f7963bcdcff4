"""LSGM's mixed score (arXiv 2106.05931, section 3.2): a network corrects the score of N(0, I)."""

import jax
from jaxtyping import Array, Float

from pipeline.diffusion.paths import Path
from pipeline.diffusion.paths.base import over_axes
from pipeline.diffusion.predictions import Predict


def mixed_noise(path: Path, predict: Predict, logit: Float[Array, "..."]) -> Predict:
    """Return the noise prediction (1 - a) e0 + a predict(x_t, t), with a = sigmoid(logit).

    e0 = sigma x_t / (alpha^2 + sigma^2) is the noise of data from N(0, I), whose sum with noise has
    that variance: 1 for a variance-preserving path, so that a = 0 is exactly that prior.

    Args:
      logit: of the share of the network, broadcast against an example: a number for each channel.
    """

    def mixed(x_t: Float[Array, "b ..."], t: Float[Array, " b"]) -> Float[Array, "b ..."]:
        alpha, sigma = path.alpha(t), path.sigma(t)
        normal = over_axes(sigma / (alpha**2 + sigma**2), x_t) * x_t
        share = jax.nn.sigmoid(logit)
        return (1 - share) * normal + share * predict(x_t, t)

    return mixed
