"""Vector quantization (VQ-VAE, arXiv 1711.00937): each vector becomes the nearest code.

The recipe composes it from a codebook (pipeline.codebooks), a gradient through the choice
(pipeline.quantization.gradients), and the loss terms `quantization`, `quantization_swapped` or
`commitment`. VQ with moving averages is moving_average.MovingAverage, SimVQ is
linear_map.LinearMap, and the rotation trick is gradient="rotation".
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pipeline.core.construct import construct
from pipeline.core.types import Latent
from pipeline.quantization import gradients, uniform_codes
from pipeline.quantization.nearest import nearest, take

LEARNED = dict(name="learned.Learned")


class VQ(nnx.Module):
    """Vectors [*shape d] -> the nearest of `num_codes` codes, with a uniform prior.

    Args:
      latent_channels: d, the dimension of a code.
      num_codes: size of the codebook.
      codebook: recipe of the codebook, a dict with the key `name`.
      gradient: "straight_through" or "rotation".
    """

    def __init__(
        self,
        *,
        latent_channels: int,
        num_codes: int = 512,
        codebook: Mapping[str, Any] = LEARNED,
        gradient: str = "straight_through",
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        del dtype  # distances and codes are float32
        uniform_codes.check_number(num_codes, f"model.bottleneck.num_codes={num_codes}")
        gradients.check(gradient, "model.bottleneck.gradient")
        self.codebook = create_codebook(codebook, num_codes, latent_channels, key)
        self.num_codes, self.latent_channels = num_codes, latent_channels
        self.gradient = gradient

    @staticmethod
    def num_inputs(latent_channels: int) -> int:
        """Return the dimension of the vectors, which is the codes'."""
        return latent_channels

    def __call__(self, h: Float[Array, "*shape d"], key: PRNGKeyArray | None = None) -> Latent:
        """Return the nearest code at each position; the key changes nothing."""
        del key
        return self._quantize(self.vectors(h))[0]

    def learn(
        self, h: Float[Array, "*shape d"], key: PRNGKeyArray | None, step: Any = 0
    ) -> tuple[Latent, dict[str, Any]]:
        """Return the latent and what loss terms compare; the codebook follows the vectors."""
        del step
        x = self.vectors(h)
        latent, codes = self._quantize(x)
        assert latent.indices is not None
        self.codebook.follow(x, latent.indices, key)
        return latent, {"vectors": (x,), "codes": (codes,)}

    def vectors(self, h: Float[Array, "*shape d"]) -> Float[Array, "*shape d"]:
        """Return the vectors that are compared with the codes."""
        return h.astype(jnp.float32)

    def codes(self) -> Float[Array, "k d"]:
        """Return the codes, as they are compared and decoded."""
        return self.codebook()

    def decode_indices(self, indices: Int[Array, "*shape"]) -> Float[Array, "*shape d"]:
        """Return the codes of indices."""
        return self.codes()[indices]

    def prior(
        self,
        shape: tuple[int, ...],
        key: PRNGKeyArray | None,
        temperature: Float[Array, ""] | float | int = 1.0,
    ) -> Float[Array, "*shape d"]:
        """Return codes drawn uniformly; see pipeline.quantization.uniform_codes.draw."""
        mean = self.codes().mean(axis=0)
        return uniform_codes.draw(
            self.decode_indices, self.num_codes, mean, shape, key, temperature
        )

    def _quantize(self, x: Float[Array, "*shape d"]) -> tuple[Latent, Float[Array, "*shape d"]]:
        """Return the latent, and the chosen codes with their gradient."""
        codes = self.codes()
        indices = nearest(x, codes)
        chosen = take(codes, indices)
        z = gradients.GRADIENTS[self.gradient](x, jax.lax.stop_gradient(chosen))
        return uniform_codes.latent(z, indices, self.num_codes), chosen


def create_codebook(recipe: Mapping[str, Any], num_codes: int, dim: int, key: PRNGKeyArray) -> Any:
    """Return the codebook that a recipe names in pipeline.codebooks."""
    return construct(
        "pipeline.codebooks",
        recipe,
        where="model.bottleneck.codebook",
        num_codes=num_codes,
        dim=dim,
        key=key,
    )
