"""A Gaussian whose channels share one variance at each position, as in LTX-Video (2501.00103)."""

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.bottlenecks.gaussian import Gaussian
from pipeline.core.types import Latent


class SharedVarianceGaussian(Gaussian):
    """Features [*shape d + 1], means and then one log-variance -> latents [*shape d].

    The KL is to N(0, 1), in nats.
    """

    @staticmethod
    def num_inputs(latent_channels: int) -> int:
        """Return the number of channels of the means and the log-variance."""
        return latent_channels + 1

    def __call__(self, h: Float[Array, "*shape c"], key: PRNGKeyArray | None = None) -> Latent:
        """Return the posterior; z is a sample, or without a key the mean."""
        mean, logvar = h[..., :-1], h[..., -1:]
        return super().__call__(
            jnp.concatenate([mean, jnp.broadcast_to(logvar, mean.shape)], axis=-1), key
        )
