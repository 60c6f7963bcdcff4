"""Codes drawn by Gumbel-softmax from predicted probabilities (arXiv 1611.01144, 2102.12092).

A linear map of the features gives the logits of the codes. Training decodes the mean of all codes
under the relaxed draw, whose temperature falls with the step; the rate is KL(q || uniform).
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pipeline.core import schedules
from pipeline.core.errors import ConfigError
from pipeline.core.types import Latent
from pipeline.nn import init
from pipeline.quantization import uniform_codes

# DALL-E's (arXiv 2102.12092, appendix A.2): from 1 to 1/16 over 150,000 steps.
TEMPERATURE = dict(name="geometric", start=1.0, end=1 / 16, steps=150_000)


class GumbelVQ(nnx.Module):
    """Features [*shape d] -> codes of dimension d.

    Args:
      latent_channels: d, the channels of the features and the dimension of a code.
      num_codes: size of the codebook.
      temperature: of the relaxed draw, a number or a schedule (pipeline.core.schedules).
    """

    def __init__(
        self,
        *,
        latent_channels: int,
        num_codes: int = 512,
        temperature: float | int | Mapping[str, Any] = TEMPERATURE,
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        del dtype
        uniform_codes.check_number(num_codes, f"model.bottleneck.num_codes={num_codes}")
        if isinstance(temperature, float | int) and temperature <= 0:
            raise ConfigError(f"model.bottleneck.temperature={temperature} must be above 0")
        self.temperature = schedules.create(temperature, where="model.bottleneck.temperature")
        keys = [jax.random.fold_in(key, number) for number in range(3)]
        bound = latent_channels**-0.5
        self.codebook = nnx.Param(init.normal(keys[0], (num_codes, latent_channels)))
        self.kernel = nnx.Param(init.uniform(keys[1], (latent_channels, num_codes), bound))
        self.bias = nnx.Param(init.uniform(keys[2], (num_codes,), bound))
        self.num_codes, self.latent_channels = num_codes, latent_channels

    @staticmethod
    def num_inputs(latent_channels: int) -> int:
        """Return the channels of the features."""
        return latent_channels

    def __call__(self, h: Float[Array, "*shape d"], key: PRNGKeyArray | None = None) -> Latent:
        """Return a code at each position: drawn, or without a key the most probable."""
        return self._latent(h, key, None)

    def learn(
        self, h: Float[Array, "*shape d"], key: PRNGKeyArray | None, step: Any = 0
    ) -> tuple[Latent, dict[str, Any]]:
        """Return the latent, whose z is a mean of codes under the relaxed draw."""
        return self._latent(h, key, self.temperature(step)), {}

    def decode_indices(self, indices: Int[Array, "*shape"]) -> Float[Array, "*shape d"]:
        """Return the codes of indices."""
        return self.codebook[...][indices]

    def prior(
        self,
        shape: tuple[int, ...],
        key: PRNGKeyArray | None,
        temperature: Float[Array, ""] | float | int = 1.0,
    ) -> Float[Array, "*shape d"]:
        """Return codes drawn uniformly; see pipeline.quantization.uniform_codes.draw."""
        mean = self.codebook[...].mean(axis=0)
        return uniform_codes.draw(
            self.decode_indices, self.num_codes, mean, shape, key, temperature
        )

    def _latent(self, h: Array, key: PRNGKeyArray | None, temperature: Any) -> Latent:
        x = h.astype(jnp.float32)
        logits = jnp.matmul(x, self.kernel[...], precision="highest") + self.bias[...]
        log_q = jax.nn.log_softmax(logits)
        prior = -math.log(self.num_codes)
        # Rounding alone could make the divergence of nearly uniform probabilities negative.
        kl = jnp.maximum((jnp.exp(log_q) * log_q).sum(axis=-1, keepdims=True) - prior, 0.0)
        perturbed = logits if key is None else logits + jax.random.gumbel(key, logits.shape)
        indices = jnp.argmax(perturbed, axis=-1).astype(jnp.int32)
        if temperature is None:
            z = self.decode_indices(indices)
        else:
            weights = jax.nn.softmax(perturbed / temperature)
            z = jnp.matmul(weights, self.codebook[...], precision="highest")
        chosen = jnp.take_along_axis(log_q, indices[..., None], axis=-1)
        uniform = jnp.full_like(chosen, prior)
        return Latent(z, kl, indices=indices, log_q=chosen, log_p=uniform, num_codes=self.num_codes)
