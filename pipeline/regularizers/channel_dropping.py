"""Channels in an order: the first ones carry the structure (DC-AE 1.5, arXiv 2508.00413, eq. 1)."""

import jax
import jax.numpy as jnp

from pipeline.core.errors import ConfigError
from pipeline.regularizers.base import Regularizer


def channel_dropping(
    *,
    fewest: int = 16,
    step: int = 4,
    latent_channels: int = 0,
    where: str = "regularizers.channel_dropping",
) -> Regularizer:
    """Return the regularizer: all channels after the first c' are 0, with a new c' in each step.

    c' is one of fewest, fewest + step, ... and the number of channels, each as likely.

    fewest: channels that always remain. step: between two numbers of channels.
    """
    if not 1 <= fewest <= latent_channels or step < 1:
        raise ConfigError(
            f"{where}: fewest={fewest} must be from 1 to the {latent_channels} channels of the "
            f"latents, and step={step} 1 or more"
        )
    counts = jnp.asarray(sorted({*range(fewest, latent_channels, step), latent_channels}))

    def latents(z, key, params, choice):
        kept = counts[jax.random.randint(key, (), 0, len(counts))]
        return jnp.where(jnp.arange(z.shape[-1]) < kept, z, jnp.zeros((), z.dtype))

    return Regularizer(latents)
