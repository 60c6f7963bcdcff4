"""The prior N(0, 1) of a plain VAE (arXiv 1312.6114), which has no parameters."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.distributions.continuous import gaussian_kl, gaussian_log_prob, gaussian_sample


class StandardNormal(nnx.Module):
    """N(0, 1) for each element."""

    def __init__(self, *, shape: tuple[int, ...]):
        self.shape = shape

    def log_prob(self, z: Float[Array, "b ..."]) -> Float[Array, "b ..."]:
        return gaussian_log_prob(z)

    def kl(
        self, mean: Float[Array, "b ..."], logvar: Float[Array, "b ..."]
    ) -> Float[Array, "b ..."]:
        return gaussian_kl(mean, logvar)

    def sample(
        self, key: PRNGKeyArray | None, num: int, temperature: Float[Array, ""] | float | int = 1.0
    ) -> Float[Array, "num ..."]:
        zeros = jnp.zeros((num, *self.shape), jnp.float32)
        return zeros if key is None else gaussian_sample(key, zeros, zeros, temperature)
