"""Reductions of per-example values [b] and of latents, for losses, metrics and training steps."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from pipeline.core.types import Latent


def masked_mean(
    values: Float[Array, " b"], mask: Shaped[Array, " b"] | None = None
) -> Float[Array, ""]:
    """Return the mean over the examples whose mask is not 0; 0 where there are none."""
    if mask is None:
        return values.mean()
    mask = mask.astype(values.dtype)
    # where, not a product: padding may hold infinities.
    return jnp.where(mask > 0, values * mask, 0.0).sum() / jnp.maximum(mask.sum(), 1.0)


def layer_rates(latents: tuple[Latent, ...]) -> Float[Array, "b l"]:
    """Return the KL of each stochastic layer in nats, summed over its elements; top layer first."""
    return jnp.stack(
        [latent.kl.reshape(latent.kl.shape[0], -1).sum(axis=-1) for latent in latents], axis=-1
    )
