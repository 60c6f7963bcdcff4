"""Residual vector quantization (RQ-VAE, arXiv 2203.01941): a code, then one of what is left of it.

The sum of the codes is decoded. The loss terms compare the vector with the sum after each level,
and take their mean (eq. 7).
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pipeline.bottlenecks.vq import LEARNED, create_codebook
from pipeline.core.errors import ConfigError
from pipeline.core.types import Latent
from pipeline.quantization import gradients, uniform_codes
from pipeline.quantization.nearest import nearest, take


class ResidualVQ(nnx.Module):
    """Vectors [*shape d] -> the sum of `levels` codes, whose indices are [*shape levels].

    Residuals need not shrink: they do where 0 is a code.

    Args:
      latent_channels: d, the dimension of a code.
      levels: number of codes at a position.
      num_codes: size of a codebook.
      shared: one codebook for all levels; otherwise each has its own.
      codebook: recipe of a codebook, a dict with the key `name`.
      gradient: "straight_through" or "rotation".
    """

    def __init__(
        self,
        *,
        latent_channels: int,
        levels: int = 4,
        num_codes: int = 512,
        shared: bool = True,
        codebook: Mapping[str, Any] = LEARNED,
        gradient: str = "straight_through",
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        del dtype
        uniform_codes.check_number(num_codes, f"model.bottleneck.num_codes={num_codes}")
        gradients.check(gradient, "model.bottleneck.gradient")
        if levels < 2:
            raise ConfigError(
                f"model.bottleneck.levels={levels} must be above 1; vq.VQ has a single level"
            )
        keys = [jax.random.fold_in(key, level) for level in range(1 if shared else levels)]
        self.codebooks = nnx.List(
            [create_codebook(codebook, num_codes, latent_channels, each) for each in keys]
        )
        self.num_codes, self.latent_channels, self.levels = num_codes, latent_channels, levels
        self.codes_per_position, self.gradient = levels, gradient

    @staticmethod
    def num_inputs(latent_channels: int) -> int:
        """Return the dimension of the vectors, which is the codes'."""
        return latent_channels

    def __call__(self, h: Float[Array, "*shape d"], key: PRNGKeyArray | None = None) -> Latent:
        """Return the sum of codes at each position; the key changes nothing."""
        del key
        return self._quantize(h.astype(jnp.float32))[0]

    def learn(
        self, h: Float[Array, "*shape d"], key: PRNGKeyArray | None, step: Any = 0
    ) -> tuple[Latent, dict[str, Any]]:
        """Return the latent and what loss terms compare; codebooks follow the residuals."""
        del step
        x = h.astype(jnp.float32)
        latent, sums, residuals = self._quantize(x)
        indices: Any = latent.indices
        if len(self.codebooks) == 1:
            self.codebooks[0].follow(jnp.stack(residuals, axis=-2), indices, key)
        else:
            for level, (codebook, residual) in enumerate(zip(self.codebooks, residuals)):
                own = None if key is None else jax.random.fold_in(key, level)
                codebook.follow(residual, indices[..., level], own)
        return latent, {"vectors": (x,) * self.levels, "codes": tuple(sums)}

    def decode_indices(self, indices: Int[Array, "*shape levels"]) -> Float[Array, "*shape d"]:
        """Return the sums of the codes of indices."""
        chosen = [codes[indices[..., level]] for level, codes in enumerate(self._codes())]
        return self._sum(chosen)

    def prior(
        self,
        shape: tuple[int, ...],
        key: PRNGKeyArray | None,
        temperature: Float[Array, ""] | float | int = 1.0,
    ) -> Float[Array, "*shape d"]:
        """Return sums of codes drawn uniformly, or without a key their mean."""
        means = self._sum([codes.mean(axis=0) for codes in self._codes()])
        if key is None:
            return jnp.broadcast_to(means, (*shape, self.latent_channels))
        indices = jax.random.randint(key, (*shape, self.levels), 0, self.num_codes)
        return means + temperature * (self.decode_indices(indices) - means)

    def _quantize(
        self, x: Float[Array, "*shape d"]
    ) -> tuple[Latent, list[Float[Array, "*shape d"]], list[Float[Array, "*shape d"]]]:
        """Return the latent, the sums after each level with their gradient, and the residuals.

        The residual of a level is what it quantizes; the sum's gradient is the last code's.
        """
        total, indices, sums, residuals = jnp.zeros_like(x), [], [], []
        for codes in self._codes():
            residuals.append(jax.lax.stop_gradient(x - total))
            indices.append(nearest(residuals[-1], codes))
            sums.append(total + take(codes, indices[-1]))
            total = jax.lax.stop_gradient(sums[-1])
        z = gradients.GRADIENTS[self.gradient](x, total)
        latent = uniform_codes.latent(
            z, jnp.stack(indices, axis=-1), self.num_codes, choices=self.levels
        )
        return latent, sums, residuals

    def _codes(self) -> list[Float[Array, "k d"]]:
        """Return the codes of each level."""
        codes = [codebook() for codebook in self.codebooks]
        return codes * self.levels if len(codes) == 1 else codes

    @staticmethod
    def _sum(parts: list[Array]) -> Array:
        # From left to right, as in `_quantize`: decoded indices give the latent bit for bit.
        return sum(parts, jnp.zeros_like(parts[0]))
