"""SoftVQ (arXiv 2412.10958): a latent is the mean of all codes, weighted by a softmax of cosines.

Unlike a quantizer's, its gradient is exact. The latents are continuous, and no rate is charged for
them.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.core.errors import ConfigError
from pipeline.core.types import Latent
from pipeline.distributions.continuous import MIN_LOGVAR
from pipeline.nn import init
from pipeline.quantization.sphere import on_sphere


class SoftVQ(nnx.Module):
    """Vectors [b *positions d] -> weighted means of codes of length 1.

    Args:
      latent_channels: d, the dimension of a code.
      codebook_size: codes of a codebook.
      codebooks: number of codebooks; the positions are divided among them in order.
      temperature: divides the cosines of a vector and the codes.
    """

    def __init__(
        self,
        *,
        latent_channels: int,
        codebook_size: int = 512,
        codebooks: int = 1,
        temperature: float | int = 0.07,
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        del dtype  # it computes in float32
        if codebook_size < 1 or codebooks < 1 or temperature <= 0:
            raise ConfigError(
                f"model.bottleneck: codebook_size={codebook_size} and codebooks={codebooks} must "
                f"be 1 or more, and temperature={temperature} above 0"
            )
        shape = (codebooks, codebook_size, latent_channels)
        self.codes = nnx.Param(init.normal(key, shape))
        self.latent_channels, self.codebooks = latent_channels, codebooks
        self.temperature = temperature

    @staticmethod
    def num_inputs(latent_channels: int) -> int:
        """Return the dimension of the vectors, which is the codes'."""
        return latent_channels

    def __call__(self, h: Float[Array, "b *n d"], key: PRNGKeyArray | None = None) -> Latent:
        """Return the latents; the key changes nothing."""
        del key
        return self._latent(h)[0]

    def learn(
        self, h: Float[Array, "b *n d"], key: PRNGKeyArray | None, step: Any = 0
    ) -> tuple[Latent, dict[str, Any]]:
        """Return the latents, and the cosines [b codebooks n codes] for `soft_code_entropy`.

        The vectors follow the cosines, and the codes only the latents.
        """
        del key, step
        latent, cosines = self._latent(h)
        return latent, {"code_cosines": cosines}

    def prior(
        self,
        shape: tuple[int, ...],
        key: PRNGKeyArray | None,
        temperature: Float[Array, ""] | float | int = 1.0,
    ) -> Float[Array, "*shape d"]:
        """Return codes drawn uniformly, whose distance from their mean is multiplied by the
        temperature, or without a key the mean.
        """
        codes, groups = on_sphere(self.codes[...]), self._groups(shape)
        mean = codes.mean(axis=1)[None, :, None]
        if key is None:
            drawn = jnp.broadcast_to(mean, (*groups, self.latent_channels))
        else:
            chosen = jax.random.randint(key, groups, 0, codes.shape[1])
            drawn = jnp.take_along_axis(
                codes[None], chosen.reshape(shape[0], self.codebooks, -1)[..., None], axis=2
            )
            drawn = mean + temperature * (drawn - mean)
        return drawn.reshape(*shape, self.latent_channels)

    def _groups(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Return examples, codebooks, and positions of a codebook. Raises ConfigError."""
        count = 1
        for size in shape[1:]:
            count *= size
        if count % self.codebooks:
            raise ConfigError(
                f"model.bottleneck.codebooks={self.codebooks} must divide the {count} positions"
            )
        return shape[0], self.codebooks, count // self.codebooks

    def _latent(self, h: Float[Array, "b *n d"]) -> tuple[Latent, Float[Array, "b g n k"]]:
        x = on_sphere(h.astype(jnp.float32)).reshape(*self._groups(h.shape[:-1]), -1)
        codes = on_sphere(self.codes[...])
        cosines = jnp.einsum("bgnd,gkd->bgnk", x, jax.lax.stop_gradient(codes), precision="highest")
        weights = jax.nn.softmax(cosines / self.temperature)
        z = jnp.einsum("bgnk,gkd->bgnd", weights, codes, precision="highest").reshape(h.shape)
        zeros = jnp.zeros_like(z)
        latent = Latent(z, zeros, z, zeros + MIN_LOGVAR, prior_mean=zeros, prior_logvar=zeros)
        return latent, cosines
