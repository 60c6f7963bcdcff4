"""No bottleneck: latents are the encoder's features, as in deterministic codecs such as TAESD."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.bottlenecks.gaussian import standard_normal
from pipeline.core.types import Latent
from pipeline.distributions.continuous import MIN_LOGVAR


class Identity(nnx.Module):
    """Features [*shape d] -> the same latents, in float32.

    The posterior is a point: `logvar` is the smallest there is, a sample is the mean, and `kl` is
    0, since no rate is charged for it. The prior of samples is N(0, 1).
    """

    def __init__(
        self, *, latent_channels: int, key: PRNGKeyArray | None = None, dtype: Any = jnp.float32
    ):
        del key, dtype
        self.latent_channels = latent_channels

    @staticmethod
    def num_inputs(latent_channels: int) -> int:
        """Return the number of channels of the latents themselves."""
        return latent_channels

    def __call__(self, h: Float[Array, "*shape d"], key: PRNGKeyArray | None = None) -> Latent:
        """Return the latents; the key changes nothing."""
        del key
        z = h.astype(jnp.float32)
        zeros = jnp.zeros_like(z)
        return Latent(z, zeros, z, zeros + MIN_LOGVAR, prior_mean=zeros, prior_logvar=zeros)

    def prior(
        self,
        shape: tuple[int, ...],
        key: PRNGKeyArray | None,
        temperature: Float[Array, ""] | float | int = 1.0,
    ) -> Float[Array, "*shape d"]:
        """Return a draw from N(0, temperature^2), or without a key zeros."""
        return standard_normal((*shape, self.latent_channels), key, temperature)
