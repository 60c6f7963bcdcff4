"""A diagonal Gaussian at each position, with the prior N(0, 1) (arXiv 1312.6114)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.core.types import Latent
from pipeline.distributions.continuous import clip_logvar, gaussian_kl, gaussian_sample


class Gaussian(nnx.Module):
    """Features [*shape 2 d], means and then log-variances -> latents [*shape d].

    The KL is to N(0, 1), in nats.
    """

    def __init__(
        self, *, latent_channels: int, key: PRNGKeyArray | None = None, dtype: Any = jnp.float32
    ):
        del key, dtype  # it has no parameters, and computes in float32
        self.latent_channels = latent_channels

    @staticmethod
    def num_inputs(latent_channels: int) -> int:
        """Return the number of channels of a mean and a log-variance."""
        return 2 * latent_channels

    def __call__(self, h: Float[Array, "*shape c"], key: PRNGKeyArray | None = None) -> Latent:
        """Return the posterior; z is a sample, or without a key the mean."""
        mean, logvar = jnp.split(h.astype(jnp.float32), 2, axis=-1)
        logvar = clip_logvar(logvar)
        z = mean if key is None else gaussian_sample(key, mean, logvar)
        zeros = jnp.zeros_like(mean)
        return Latent(
            z, gaussian_kl(mean, logvar), mean, logvar, prior_mean=zeros, prior_logvar=zeros
        )

    def prior(
        self,
        shape: tuple[int, ...],
        key: PRNGKeyArray | None,
        temperature: Float[Array, ""] | float | int = 1.0,
    ) -> Float[Array, "*shape d"]:
        """Return a draw from N(0, temperature^2), or without a key zeros."""
        return standard_normal((*shape, self.latent_channels), key, temperature)


def standard_normal(
    shape: tuple[int, ...],
    key: PRNGKeyArray | None,
    temperature: Float[Array, ""] | float | int = 1.0,
) -> Float[Array, "..."]:
    """Return a draw from N(0, temperature^2), or without a key zeros."""
    if key is None:
        return jnp.zeros(shape, jnp.float32)
    return temperature * jax.random.normal(key, shape)
