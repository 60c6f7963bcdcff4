"""Noise synchronization (DiTo, arXiv 2501.18593): decoders that read latents on their way to noise.

A share of the examples has its latents moved along the path on which a generator will draw them,
z_t = (1 - t) z + t e. The paper's latents have mean 0 and variance 1, and its decoder is itself a
flow, which then draws its own time from [t, 1]; a decoder without a time reads z_t alone.
"""

import jax
import jax.numpy as jnp

from pipeline.core.errors import ConfigError
from pipeline.diffusion.paths.straight import Straight
from pipeline.regularizers.base import Regularizer


def noise_sync(*, probability: float = 0.1, where: str = "regularizers.noise_sync") -> Regularizer:
    """Return the regularizer: t is 0 for most examples, and from U(0, 1) for the others.

    probability: share of the examples whose latents are moved.
    """
    if not 0 <= probability <= 1:
        raise ConfigError(f"{where}.probability={probability} must be from 0 to 1")

    def latents(z, key, params, choice):
        of_choice, of_time, of_noise = jax.random.split(key, 3)
        moved = jax.random.bernoulli(of_choice, probability, (len(z),))
        time = jnp.where(moved, jax.random.uniform(of_time, (len(z),)), 0.0)
        return Straight().at(z, jax.random.normal(of_noise, z.shape, z.dtype), time)

    return Regularizer(latents)
