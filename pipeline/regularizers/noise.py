"""Noise of latents, so that a decoder reads what a generator draws (RAE, arXiv 2510.11690)."""

import jax

from pipeline.core.errors import ConfigError
from pipeline.regularizers.base import Regularizer


def noise(*, highest: float = 0.8, where: str = "regularizers.noise") -> Regularizer:
    """Return z + s e, with e from N(0, 1) and one s from U(0, highest) for each example (eq. 5).

    highest: the largest deviation, in the units of the latents.
    """
    if highest < 0:
        raise ConfigError(f"{where}.highest={highest} must be 0 or more")

    def latents(z, key, params, choice):
        of_scale, of_noise = jax.random.split(key)
        shape = (len(z), *[1] * (z.ndim - 1))
        scale = jax.random.uniform(of_scale, shape, z.dtype, 0.0, highest)
        return z + scale * jax.random.normal(of_noise, z.shape, z.dtype)

    return Regularizer(latents)
