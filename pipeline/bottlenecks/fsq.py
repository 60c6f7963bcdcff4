"""Finite scalar quantization (FSQ, arXiv 2309.15505): each element is rounded to a few levels.

The codes are the points of a fixed grid: there are no parameters and no losses, and no code is left
unused.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pipeline.core.errors import ConfigError
from pipeline.core.types import Latent
from pipeline.quantization import uniform_codes
from pipeline.quantization.gradients import straight_through

_EPS = 1e-3


class FSQ(nnx.Module):
    """Features [*shape d] -> grid points in [-1, 1], with a uniform prior.

    Args:
      latent_channels: d, the number of elements.
      levels: number of levels of each of the d elements; the product is the number of codes.
        Section 4.1 recommends 8, 6, 5 for 2^8; 8, 5, 5, 5 for 2^10; 7, 5, 5, 5, 5 for 2^12;
        8, 8, 8, 6, 5 for 2^14; and 8, 8, 8, 5, 5, 5 for 2^16.
    """

    def __init__(
        self,
        *,
        latent_channels: int,
        levels: Sequence[int] = (8, 6, 5),
        key: PRNGKeyArray | None = None,
        dtype: Any = jnp.float32,
    ):
        del key, dtype  # there are no parameters, and it computes in float32
        if len(levels) != latent_channels or min(levels) < 2:
            raise ConfigError(
                f"model.bottleneck.levels={tuple(levels)} must be {latent_channels} numbers above "
                "1, one for each of model.latent_channels"
            )
        self.levels, self.latent_channels = tuple(levels), latent_channels
        self.num_codes = math.prod(levels)
        uniform_codes.check_number(self.num_codes, f"model.bottleneck.levels={self.levels}")

    @staticmethod
    def num_inputs(latent_channels: int) -> int:
        """Return the number of elements."""
        return latent_channels

    def __call__(self, h: Float[Array, "*shape d"], key: PRNGKeyArray | None = None) -> Latent:
        """Return the grid point at each position; the key changes nothing.

        The gradient passes the rounding unchanged.
        """
        del key
        bounded = self.bound(h.astype(jnp.float32))
        rounded = straight_through(bounded, jnp.round(bounded))
        half = self._half_width()
        digits = (jnp.round(bounded) + half).astype(jnp.int32)
        indices = (digits * self._basis()).sum(axis=-1)
        return uniform_codes.latent(rounded / half, indices, self.num_codes)

    def bound(self, x: Float[Array, "*shape d"]) -> Float[Array, "*shape d"]:
        """Return x squashed to the range whose whole numbers are the levels (appendix A.1)."""
        levels = np.asarray(self.levels)
        half = (levels - 1) * (1 - _EPS) / 2
        offset = np.where(levels % 2 == 0, 0.5, 0.0)
        shift = np.tan(offset / half).astype(np.float32)
        return jnp.tanh(x + shift) * half.astype(np.float32) - offset.astype(np.float32)

    def decode_indices(self, indices: Int[Array, "*shape"]) -> Float[Array, "*shape d"]:
        """Return the grid points of indices; the first element is the lowest digit."""
        half = self._half_width()
        digits = (indices[..., None] // self._basis()) % np.asarray(self.levels, np.int32)
        return (digits.astype(jnp.float32) - half) / half

    def prior(
        self,
        shape: tuple[int, ...],
        key: PRNGKeyArray | None,
        temperature: Float[Array, ""] | float | int = 1.0,
    ) -> Float[Array, "*shape d"]:
        """Return grid points drawn uniformly; see pipeline.quantization.uniform_codes.draw."""
        half = self._half_width()
        mean = jnp.asarray((np.asarray(self.levels) - 1) / 2 - half, jnp.float32) / half
        return uniform_codes.draw(
            self.decode_indices, self.num_codes, mean, shape, key, temperature
        )

    def _half_width(self) -> np.ndarray:
        return (np.asarray(self.levels) // 2).astype(np.float32)

    def _basis(self) -> np.ndarray:
        return np.cumprod((1, *self.levels[:-1])).astype(np.int32)


class StretchedFSQ(FSQ):
    """FSQ with the range stretched by a thousandth, where the paper shrinks it, and its middle
    exact: as in lucidrains' vector-quantize-pytorch and the codecs trained with it, such as VidTok.
    Only elements near the middle between two levels are rounded otherwise.
    """

    def bound(self, x: Float[Array, "*shape d"]) -> Float[Array, "*shape d"]:
        """Return x squashed to the range whose whole numbers are the levels."""
        levels = np.asarray(self.levels)
        half = (levels - 1) * (1 + _EPS) / 2
        offset = np.where(levels % 2 == 0, 0.5, 0.0)
        shift = np.arctanh(offset / half).astype(np.float32)
        return jnp.tanh(x + shift) * half.astype(np.float32) - offset.astype(np.float32)
