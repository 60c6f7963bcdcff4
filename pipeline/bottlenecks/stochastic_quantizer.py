"""Stochastic quantisation: vectors to codes drawn near them (SQ-VAE, arXiv 2205.07547; HQ-VAE, arXiv 2401.00365).

A vector x becomes code b_k with probability q(k | x) = softmax_k(-|x - b_k|^2 / 2 s^2); the prior is uniform. The
variance s^2 is learned, and falls as codes and vectors come to agree: what begins as a draw of nearly any code ends as
the nearest one, and no code is left behind on the way.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.core.types import Latent
from pipeline.distributions.continuous import clip_logvar


class StochasticQuantizer(nnx.Module):
    """`num_codes` codes of `dim` numbers, at first from N(0, 1), and the logarithm of s^2; all float32."""

    def __init__(self, num_codes: int, dim: int, *, variance: float | int, key: PRNGKeyArray):
        self.codebook = nnx.Param(jax.random.normal(key, (num_codes, dim), jnp.float32))
        self.log_variance = nnx.Param(jnp.asarray(math.log(variance), jnp.float32))
        self.num_codes = num_codes

    def __call__(
        self,
        x: Float[Array, "b h w d"],
        key: PRNGKeyArray | None,
        relaxation: Float[Array, ""] | float | None = None,
    ) -> Latent:
        """A code at each position: drawn from q, or without a key the most probable, which is the nearest.

        With `relaxation`, the temperature of a Gumbel-softmax (1611.01144), z is the mean of all codes under the
        softmax of the perturbed logits over it: gradients pass, and at 0 it would be the code of `indices`.

        `kl` [b h w 1] is KL(q || uniform) in nats, between 0 and log(num_codes); `log_q` and `log_p` [b h w 1] are the
        log-probabilities of `indices`. The term |x - z|^2 / 2 s^2 is not in it; see `gap`.
        """
        logits = self.logits(x)
        # Of a tiny variance, rounding alone would give probabilities above 1.
        log_q = jnp.minimum(jax.nn.log_softmax(logits, axis=-1), 0.0)
        prior = -math.log(self.num_codes)
        kl = (jnp.exp(log_q) * log_q).sum(axis=-1, keepdims=True) - prior
        perturbed = logits if key is None else logits + jax.random.gumbel(key, logits.shape)
        indices = jnp.argmax(perturbed, axis=-1)
        if relaxation is None:
            z = self.codebook[...][indices]
        else:
            z = jax.nn.softmax(perturbed / relaxation, axis=-1) @ self.codebook[...]
        chosen = jnp.take_along_axis(log_q, indices[..., None], axis=-1)
        uniform = jnp.full_like(chosen, prior)
        return Latent(z, kl, indices=indices, log_q=chosen, log_p=uniform, num_codes=self.num_codes)

    def logits(self, x: Float[Array, "b h w d"]) -> Float[Array, "b h w k"]:
        """-|x - b_k|^2 / 2 s^2 over that of the nearest code: 0 there, and below it elsewhere."""
        codes = self.codebook[...]
        products = jnp.matmul(x.astype(jnp.float32), codes.T, precision="highest")
        scores = products - 0.5 * jnp.square(codes).sum(axis=-1)
        nearest = jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True))
        return (scores - nearest) / self.variance()

    def variance(self) -> Float[Array, ""]:
        """s^2."""
        return jnp.exp(clip_logvar(self.log_variance[...]))

    def prior(
        self,
        shape: tuple[int, int, int],
        key: PRNGKeyArray | None,
        temperature: Float[Array, ""] | float = 1.0,
    ) -> Float[Array, "b h w d"]:
        """Codes drawn for each position [b h w], or without a key their mean, as all are equally probable.

        `temperature` multiplies the codes' deviations from that mean, as it does a Gaussian's in other models.
        """
        codes = self.codebook[...]
        mean = codes.mean(axis=0)
        if key is None:
            return jnp.broadcast_to(mean, (*shape, mean.shape[0]))
        return mean + temperature * (
            codes[jax.random.randint(key, shape, 0, self.num_codes)] - mean
        )


def gap(
    x: Float[Array, "b h w d"], z: Float[Array, "b h w d"], variance: Float[Array, ""]
) -> Float[Array, " b"]:
    """|x - z|^2 / 2 s^2 of each example: what draws vectors and codes together, and s^2 down."""
    return jnp.square(x.astype(jnp.float32) - z).sum(axis=(1, 2, 3)) / (2 * variance)
