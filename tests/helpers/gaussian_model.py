"""Every path of diffusion, and Gaussian data, of which what a perfect network predicts is known."""

import jax.numpy as jnp

from pipeline.diffusion.paths.cosine import Cosine
from pipeline.diffusion.paths.geometric import Geometric
from pipeline.diffusion.paths.straight import Straight
from pipeline.diffusion.paths.sub_variance_preserving import SubVariancePreserving
from pipeline.diffusion.paths.variance_preserving import VariancePreserving
from pipeline.diffusion.predictions import Parts

PATHS = [Cosine(), Geometric(), Straight(), SubVariancePreserving(), VariancePreserving()]


def exact(path, mean, variance):
    """Return the split of x_t into E[x | x_t] and E[e | x_t], for x ~ N(mean, variance I)."""

    def split(x_t, t):
        shape = (-1, *[1] * (x_t.ndim - 1))
        alpha, sigma = (f(t).reshape(shape) for f in (path.alpha, path.sigma))
        off = (x_t - alpha * mean) / (alpha**2 * variance + sigma**2)
        return Parts(mean + alpha * variance * off, sigma * off)

    return split


def exact_quantile(path, mean, variance, start, first, last):
    """Return where the probability flow carries `start` from time `first` to `last`."""

    def spread(t):
        t = jnp.float32(t)
        return path.alpha(t), jnp.sqrt(path.alpha(t) ** 2 * variance + path.sigma(t) ** 2)

    (alpha, deviation), (alpha_of_last, deviation_of_last) = spread(first), spread(last)
    return alpha_of_last * mean + (start - alpha * mean) / deviation * deviation_of_last


def four_points(mean, variance):
    """Return x and e [4 1] with the moments of x ~ N(mean, variance) and an independent N(0, 1).

    Means of what is quadratic in both, such as squared errors of linear predictions, are exact.
    """
    deviation = variance**0.5
    x = jnp.asarray([[mean + deviation]] * 2 + [[mean - deviation]] * 2)
    return x, jnp.asarray([[1.0], [-1.0], [1.0], [-1.0]])
