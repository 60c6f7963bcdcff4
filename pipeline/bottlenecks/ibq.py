"""Index backpropagation quantization (IBQ, arXiv 2412.02692): all codes get a gradient.

A vector becomes the code with the largest dot product, not the nearest one. The backward pass is
that of the softmax over all codes (eq. 5). The loss terms are `index_quantization`,
`quantization_swapped` and `code_entropy`.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pipeline.core.types import Latent
from pipeline.nn import init
from pipeline.quantization import uniform_codes
from pipeline.quantization.nearest import best_match, take


class IBQ(nnx.Module):
    """Vectors [*shape d] -> codes of a codebook that starts at N(0, 1), with a uniform prior.

    Training holds the logits [*shape num_codes].

    Args:
      latent_channels: d, the dimension of a code.
      num_codes: size of the codebook.
    """

    def __init__(
        self,
        *,
        latent_channels: int,
        num_codes: int = 1024,
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        del dtype
        uniform_codes.check_number(num_codes, f"model.bottleneck.num_codes={num_codes}")
        self.codebook = nnx.Param(init.normal(key, (num_codes, latent_channels)))
        self.num_codes, self.latent_channels = num_codes, latent_channels

    @staticmethod
    def num_inputs(latent_channels: int) -> int:
        """Return the dimension of the vectors, which is the codes'."""
        return latent_channels

    def __call__(self, h: Float[Array, "*shape d"], key: PRNGKeyArray | None = None) -> Latent:
        """Return the code at each position; the key changes nothing."""
        del key
        indices = self._indices(h.astype(jnp.float32))
        return uniform_codes.latent(self.decode_indices(indices), indices, self.num_codes)

    def learn(
        self, h: Float[Array, "*shape d"], key: PRNGKeyArray | None, step: Any = 0
    ) -> tuple[Latent, dict[str, Any]]:
        """Return the latent and what loss terms need."""
        del key, step
        x, codes = h.astype(jnp.float32), self.codebook[...]
        logits = jnp.matmul(x, codes.T, precision="highest")
        indices = jnp.argmax(logits, axis=-1).astype(jnp.int32)
        chosen = take(codes, indices)
        fixed = jax.lax.stop_gradient(codes)
        soft = jnp.matmul(jax.nn.softmax(logits), fixed, precision="highest")
        # The value is the code's exactly, and the gradient is that of both summands.
        z = chosen + (soft - jax.lax.stop_gradient(soft))
        latent = uniform_codes.latent(z, indices, self.num_codes)
        aux = {"vectors": (x,), "codes": (chosen,), "soft_codes": z, "code_logits": logits}
        return latent, aux

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

    def _indices(self, x: Float[Array, "*shape d"]) -> Int[Array, "*shape"]:
        return best_match(x, self.codebook[...], jnp.zeros((self.num_codes,)))
