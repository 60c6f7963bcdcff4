"""Stochastic quantization, of vectors to codes drawn near them.

The sources are SQ-VAE (arXiv 2205.07547) and HQ-VAE (arXiv 2401.00365).

A vector x becomes code b_k with probability q(k | x) = softmax_k(-|x - b_k|^2 / 2 s^2); the prior
is uniform. The variance s^2 is learned and falls as codes and vectors come to agree: a draw from
nearly all codes at first, the nearest code in the end, so that no code is left unused on the way.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pipeline.core.types import Latent
from pipeline.distributions.continuous import clip_logvar


class StochasticQuantizer(nnx.Module):
    """Vectors [b h w d] -> codes of a learned codebook, which starts at N(0, 1).

    All parameters are float32.

    Args:
      num_codes: size of the codebook.
      latent_channels: d, the dimension of a code.
      variance: s^2 at the start.
    """

    def __init__(
        self,
        *,
        num_codes: int = 512,
        latent_channels: int,
        variance: float | int = 20.0,
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        del dtype
        self.codebook = nnx.Param(jax.random.normal(key, (num_codes, latent_channels), jnp.float32))
        self.log_variance = nnx.Param(jnp.asarray(math.log(variance), jnp.float32))
        self.num_codes, self.latent_channels = num_codes, latent_channels

    @staticmethod
    def num_inputs(latent_channels: int) -> int:
        """Return the dimension of the vectors, which is the codes'."""
        return latent_channels

    def __call__(
        self,
        x: Float[Array, "b h w d"],
        key: PRNGKeyArray | None = None,
        gumbel_temperature: Float[Array, ""] | float | int | None = None,
    ) -> Latent:
        """Return a code at each position: drawn from q, or without a key the nearest.

        With `gumbel_temperature`, of a Gumbel-softmax (1611.01144), z is the mean of all codes
        under the softmax of the perturbed logits divided by it: gradients pass, and in the limit of
        0 it is the code of `indices`.

        `kl` [b h w 1] is KL(q || uniform) in nats, between 0 and log(num_codes); `log_q` and
        `log_p` [b h w 1] are the log-probabilities of `indices`. The term |x - z|^2 / 2 s^2 is not
        part of it: see `commitment_loss`.
        """
        logits = self.logits(x)
        # With a tiny variance, rounding alone would give probabilities above 1.
        log_q = jnp.minimum(jax.nn.log_softmax(logits, axis=-1), 0.0)
        prior = -math.log(self.num_codes)
        kl = (jnp.exp(log_q) * log_q).sum(axis=-1, keepdims=True) - prior
        perturbed = logits if key is None else logits + jax.random.gumbel(key, logits.shape)
        indices = jnp.argmax(perturbed, axis=-1)
        if gumbel_temperature is None:
            z = self.decode_indices(indices)
        else:
            z = jax.nn.softmax(perturbed / gumbel_temperature, axis=-1) @ self.codebook[...]
        chosen = jnp.take_along_axis(log_q, indices[..., None], axis=-1)
        uniform = jnp.full_like(chosen, prior)
        return Latent(z, kl, indices=indices, log_q=chosen, log_p=uniform, num_codes=self.num_codes)

    def logits(self, x: Float[Array, "b h w d"]) -> Float[Array, "b h w k"]:
        """Return -|x - b_k|^2 / 2 s^2, shifted so that it is 0 for the nearest code."""
        codes = self.codebook[...]
        products = jnp.matmul(x.astype(jnp.float32), codes.T, precision="highest")
        scores = products - 0.5 * jnp.square(codes).sum(axis=-1)
        nearest = jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True))
        return (scores - nearest) / self.variance()

    def variance(self) -> Float[Array, ""]:
        """Return s^2."""
        return jnp.exp(clip_logvar(self.log_variance[...]))

    def decode_indices(self, indices: Int[Array, "*shape"]) -> Float[Array, "*shape d"]:
        """Return the codes of indices."""
        return self.codebook[...][indices]

    def prior(
        self,
        shape: tuple[int, ...],
        key: PRNGKeyArray | None,
        temperature: Float[Array, ""] | float | int = 1.0,
    ) -> Float[Array, "b h w d"]:
        """Return codes drawn uniformly for each position of `shape`, or without a key their mean.

        `temperature` multiplies the codes' deviations from that mean, as it does a Gaussian's in
        other models.
        """
        codes = self.codebook[...]
        mean = codes.mean(axis=0)
        if key is None:
            return jnp.broadcast_to(mean, (*shape, mean.shape[0]))
        return mean + temperature * (
            codes[jax.random.randint(key, shape, 0, self.num_codes)] - mean
        )


def commitment_loss(
    x: Float[Array, "b h w d"], z: Float[Array, "b h w d"], variance: Float[Array, ""]
) -> Float[Array, " b"]:
    """Return |x - z|^2 / 2 s^2 of each example.

    It pulls vectors and codes together, and s^2 down.
    """
    return jnp.square(x.astype(jnp.float32) - z).sum(axis=(1, 2, 3)) / (2 * variance)
