"""Learned positions of a square grid of patches, resized for images of other sizes."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.nn import init
from pipeline.nn.tokens.bicubic import bicubic

Grid = Float[Array, "h w c"]
Resized = Float[Array, "h2 w2 c"]
# (grid, height, width) -> the grid for an image of height x width patches.
Resize = Callable[[Grid, int, int], Resized]


def plain(grid: Grid, height: int, width: int) -> Resized:
    """Resize bicubically to the size, as transformers does for SigLIP, CLIP and MAE."""
    return bicubic(grid, height, width)


def with_offset(grid: Grid, height: int, width: int) -> Resized:
    """Resize bicubically by the factor (size + 0.1) / old size, as the authors of DINOv2 do."""
    old_height, old_width, _ = grid.shape
    scales = (height + 0.1) / old_height, (width + 0.1) / old_width
    return bicubic(grid, height, width, scales=scales)


def antialiased(grid: Grid, height: int, width: int) -> Resized:
    """Resize bicubically with antialiasing (a = -0.5), as DINOv2 with registers."""
    return jax.image.resize(grid, (height, width, grid.shape[-1]), "cubic")


class LearnedPositions(nnx.Module):
    """Vectors [others + side * side, width]: of the tokens before the patches, then of the patches.

    Args:
      side: patches along each side of the grid that was trained.
      others: tokens before the patches that have positions, such as a class token.
      resize: how the grid is resized for an image of another size.
    """

    def __init__(
        self,
        side: int,
        width: int,
        *,
        others: int = 0,
        resize: Resize = plain,
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        self.table = nnx.Param(init.normal(key, (others + side**2, width), 0.02))
        self.side, self.others, self.resize, self.dtype = side, others, resize, dtype

    def __call__(self, height: int, width: int) -> Float[Array, "n c"]:
        """Return the vectors for an image of height x width patches."""
        table = self.table[...]
        if (height, width) == (self.side, self.side):
            return table.astype(self.dtype)
        grid = table[self.others :].reshape(self.side, self.side, -1)
        patches = self.resize(grid, height, width).reshape(height * width, -1)
        return jnp.concatenate([table[: self.others], patches]).astype(self.dtype)
