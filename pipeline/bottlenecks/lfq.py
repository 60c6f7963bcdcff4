"""Look-up free quantization (LFQ, MAGVIT-v2, arXiv 2310.05737, section 3.1): a code is its signs.

With d elements there are 2^d codes and no codebook. The loss terms are `bit_entropy` and
`commitment`.
"""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pipeline.core.errors import ConfigError
from pipeline.core.types import Latent
from pipeline.quantization import bits, uniform_codes
from pipeline.quantization.gradients import straight_through


class LFQ(nnx.Module):
    """Features [*shape d] -> their signs, -1 or 1, with a uniform prior.

    Args:
      latent_channels: d, the number of bits of an index.
      temperature: of the soft choice softmax(2 x . code / temperature), whose entropies are
        penalized: bit i is 1 with probability sigmoid(4 x_i / temperature).
    """

    def __init__(
        self,
        *,
        latent_channels: int,
        temperature: float | int = 0.01,
        key: PRNGKeyArray | None = None,
        dtype: Any = jnp.float32,
    ):
        del key, dtype  # there are no parameters, and it computes in float32
        if temperature <= 0:
            raise ConfigError(f"model.bottleneck.temperature={temperature} must be above 0")
        self.num_codes, self.latent_channels = 1 << latent_channels, latent_channels
        self.temperature = temperature
        uniform_codes.check_number(self.num_codes, f"model.latent_channels={latent_channels}")

    @staticmethod
    def num_inputs(latent_channels: int) -> int:
        """Return the number of bits."""
        return latent_channels

    def __call__(self, h: Float[Array, "*shape d"], key: PRNGKeyArray | None = None) -> Latent:
        """Return the signs at each position; the key changes nothing."""
        del key
        return self._quantize(h.astype(jnp.float32))

    def learn(
        self, h: Float[Array, "*shape d"], key: PRNGKeyArray | None, step: Any = 0
    ) -> tuple[Latent, dict[str, Any]]:
        """Return the latent and what loss terms need."""
        del key, step
        x = h.astype(jnp.float32)
        latent = self._quantize(x)
        signs = self.decode_indices(bits.index_of(x))
        logits = 4 * x / self.temperature
        return latent, {"vectors": (x,), "codes": (signs,), "bit_logits": logits}

    def decode_indices(self, indices: Int[Array, "*shape"]) -> Float[Array, "*shape d"]:
        """Return the signs of indices; bit i says whether element i is 1."""
        return bits.signs_of(indices, self.latent_channels)

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

    def _quantize(self, x: Float[Array, "*shape d"]) -> Latent:
        indices = bits.index_of(x)
        z = straight_through(x, self.decode_indices(indices))
        return uniform_codes.latent(z, indices, self.num_codes)
