"""VampPrior: the mixture of the posteriors of learned pseudo-inputs (arXiv 1705.07120, eq. 8).

The authors' code leaves the constant log(2 pi) out of both densities, and generates from the first
pseudo-inputs in order. Here densities are whole, and generation draws k uniformly.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.priors.mixture import mixture_log_prob, mixture_sample


class VampPrior(nnx.Module):
    """1/K sum_k q(z | u_k), where q is the model's own Gaussian posterior.

    Gradients flow through the encoder into the pseudo-inputs u_k, and into the encoder too. With a
    flow behind the posterior, the components are the Gaussians in front of it.

    Args:
      num_pseudo_inputs: K.
      start, start_deviation: mean and deviation of the values that pseudo-inputs start from, where
        0 is black and 1 white. They are clipped to 0..1, as in the authors' code; outside they have
        no gradient.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        encoder: Any,
        image_shape: tuple[int, int, int],
        input_range: tuple[float, float],
        num_pseudo_inputs: int = 500,
        start: float | int = 0.05,
        start_deviation: float | int = 0.01,
        key: PRNGKeyArray,
    ):
        del shape  # the encoder has it
        self.encoder, self.input_range = encoder, input_range
        noise = jax.random.normal(key, (num_pseudo_inputs, *image_shape), jnp.float32)
        self.pseudo_inputs = nnx.Param(start + start_deviation * noise)

    def log_prob(self, z: Float[Array, "b ..."]) -> Float[Array, "b ..."]:
        return mixture_log_prob(z, *self._components())

    def sample(
        self, key: PRNGKeyArray | None, num: int, temperature: Float[Array, ""] | float | int = 1.0
    ) -> Float[Array, "num ..."]:
        return mixture_sample(key, num, temperature, *self._components())

    def _components(
        self,
    ) -> tuple[Float[Array, " k"], Float[Array, "k ..."], Float[Array, "k ..."]]:
        low, high = self.input_range
        white = jnp.clip(self.pseudo_inputs[...], 0.0, 1.0)
        means, logvars = self.encoder(low + (high - low) * white)
        return jnp.full(len(white), -math.log(len(white))), means, logvars
