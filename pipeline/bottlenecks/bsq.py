"""Binary spherical quantization (BSQ, arXiv 2406.07548): the signs of vectors on the unit sphere.

The loss term is `bit_entropy`. Its soft choice of a code, softmax(t u . code), is a product over
bits (eq. 8): bit i is 1 with probability sigmoid(2 t u_i / sqrt(d)). The authors' code has 4 in
place of 2.
"""

import math
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pipeline.core.errors import ConfigError
from pipeline.core.types import Latent
from pipeline.quantization import bits, uniform_codes
from pipeline.quantization.gradients import straight_through
from pipeline.quantization.sphere import on_sphere


class BSQ(nnx.Module):
    """Features [*shape d] -> corners of the cube in the unit sphere, with a uniform prior.

    Args:
      latent_channels: d, the number of bits of an index.
      inverse_temperature: t of the soft choice.
    """

    def __init__(
        self,
        *,
        latent_channels: int,
        inverse_temperature: float | int = 1.0,
        key: PRNGKeyArray | None = None,
        dtype: Any = jnp.float32,
    ):
        del key, dtype  # there are no parameters, and it computes in float32
        if inverse_temperature <= 0:
            raise ConfigError(
                f"model.bottleneck.inverse_temperature={inverse_temperature} must be above 0"
            )
        self.num_codes, self.latent_channels = 1 << latent_channels, latent_channels
        self.inverse_temperature = inverse_temperature
        uniform_codes.check_number(self.num_codes, f"model.latent_channels={latent_channels}")

    @staticmethod
    def num_inputs(latent_channels: int) -> int:
        """Return the number of bits."""
        return latent_channels

    def __call__(self, h: Float[Array, "*shape d"], key: PRNGKeyArray | None = None) -> Latent:
        """Return the code at each position; the key changes nothing.

        The signs of the scaled vector u get its gradient unchanged (eq. 3).
        """
        del key
        return self._quantize(on_sphere(h.astype(jnp.float32)))

    def learn(
        self, h: Float[Array, "*shape d"], key: PRNGKeyArray | None, step: Any = 0
    ) -> tuple[Latent, dict[str, Any]]:
        """Return the latent and what loss terms need."""
        del key, step
        u = on_sphere(h.astype(jnp.float32))
        logits = 2 * self.inverse_temperature * u / math.sqrt(self.latent_channels)
        codes = self.decode_indices(bits.index_of(u))
        return self._quantize(u), {"vectors": (u,), "codes": (codes,), "bit_logits": logits}

    def decode_indices(self, indices: Int[Array, "*shape"]) -> Float[Array, "*shape d"]:
        """Return the codes of indices; bit i says whether element i is positive."""
        return bits.signs_of(indices, self.latent_channels) / math.sqrt(self.latent_channels)

    def prior(
        self,
        shape: tuple[int, ...],
        key: PRNGKeyArray | None,
        temperature: Float[Array, ""] | float | int = 1.0,
    ) -> Float[Array, "*shape d"]:
        """Return codes drawn uniformly; see pipeline.quantization.uniform_codes.draw."""
        mean = jnp.zeros((self.latent_channels,), jnp.float32)
        return uniform_codes.draw(
            self.decode_indices, self.num_codes, mean, shape, key, temperature
        )

    def _quantize(self, u: Float[Array, "*shape d"]) -> Latent:
        indices = bits.index_of(u)
        signs = straight_through(u, bits.signs_of(indices, self.latent_channels))
        z = signs / math.sqrt(self.latent_channels)
        return uniform_codes.latent(z, indices, self.num_codes)
