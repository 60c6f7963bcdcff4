"""Overlapping tiles of a large image or clip, and their blend by weighted mean."""

import dataclasses
import itertools
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

# Fraction of a tile's side over which weights ramp from one tile to its neighbour.
OVERLAP = 0.25


@dataclasses.dataclass(frozen=True)
class Tiles:
    """Square tiles that cover height x width; all sizes are in latents.

    The last tiles of a row or column are shifted back to stay inside. Weights ramp linearly over
    the overlap of neighbours, so that no seam shows.
    """

    height: int
    width: int
    side: int

    def __post_init__(self):
        if self.side < 2:
            raise ValueError(f"tiles of side {self.side} cannot overlap: use 2 or more")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of each tile."""
        return min(self.side, self.height), min(self.side, self.width)

    @property
    def corners(self) -> list[tuple[int, int]]:
        """Top left corners of the tiles, row by row."""
        return list(itertools.product(self._starts(self.height), self._starts(self.width)))

    def cut(self, x: Any, corner: tuple[int, int], factor: int = 1) -> Any:
        """Return the tile [... h w c] of `x` at `corner`; `x` has `factor` elements per latent."""
        (top, left), (height, width) = ((n * factor for n in pair) for pair in (corner, self.size))
        return x[..., top : top + height, left : left + width, :]

    def weights(self) -> Float[np.ndarray, "h w"]:
        """Return the weights of a tile's elements, positive everywhere."""
        return np.outer(*(self._ramp(length) for length in self.size)).astype(np.float32)

    def _overlap(self) -> int:
        return max(1, round(self.side * OVERLAP))

    def _starts(self, length: int) -> list[int]:
        if length <= self.side:
            return [0]
        step = self.side - self._overlap()
        count = -(-(length - self.side) // step)
        return [*range(0, count * step, step), length - self.side]

    def _ramp(self, length: int) -> np.ndarray:
        place = np.arange(length) + 0.5
        return np.minimum(1.0, np.minimum(place, length - place) / self._overlap())


class Blend:
    """A running weighted mean of tiles [... h w c] of one image or clip.

    `factor` is the number of elements along each side of a latent: 1 to blend latents themselves.
    """

    def __init__(self, tiles: Tiles, factor: int):
        self._tiles, self._factor = tiles, factor
        weights = tiles.weights()
        # For pixels, the ramp is computed per pixel, not repeated per latent.
        self._weights = weights if factor == 1 else _enlarged(tiles, factor)
        self._sum: np.ndarray | None = None
        self._norm = np.zeros((tiles.height * factor, tiles.width * factor), np.float32)

    def add(self, corner: tuple[int, int], tile: Float[np.ndarray, "... h w c"]) -> None:
        """Add a tile whose top left corner, in latents, is `corner`."""
        h, w = self._weights.shape
        if self._sum is None:
            self._sum = np.zeros((*tile.shape[:-3], *self._norm.shape, tile.shape[-1]), np.float32)
        top, left = (place * self._factor for place in corner)
        self._sum[..., top : top + h, left : left + w, :] += tile * self._weights[..., None]
        self._norm[top : top + h, left : left + w] += self._weights

    def result(self) -> Float[np.ndarray, "... h w c"]:
        """Return the weighted mean of all tiles added."""
        assert self._sum is not None
        return self._sum / self._norm[..., None]


class Choice:
    """Tiles of numbers that have no mean, such as indices of codes: each comes from one tile.

    That is the tile in which it is farthest from the border, by the weights of a blend, and of
    equal ones the first.
    """

    def __init__(self, tiles: Tiles):
        self._weights = tiles.weights()
        self._best = np.zeros((tiles.height, tiles.width), np.float32)
        self._chosen: np.ndarray | None = None

    def add(self, corner: tuple[int, int], tile: Shaped[np.ndarray, "... h w c"]) -> None:
        """Add a tile whose top left corner is `corner`."""
        if self._chosen is None:
            shape = (*tile.shape[:-3], *self._best.shape, tile.shape[-1])
            self._chosen = np.zeros(shape, tile.dtype)
        h, w = self._weights.shape
        where = slice(corner[0], corner[0] + h), slice(corner[1], corner[1] + w)
        better = self._weights > self._best[where]
        own = self._chosen[(..., *where, slice(None))]
        own[...] = np.where(better[..., None], tile, own)
        self._best[where] = np.maximum(self._best[where], self._weights)

    def result(self) -> Shaped[np.ndarray, "... h w c"]:
        """Return the numbers chosen from all tiles added."""
        assert self._chosen is not None
        return self._chosen


def _enlarged(tiles: Tiles, factor: int) -> np.ndarray:
    return Tiles(tiles.height * factor, tiles.width * factor, tiles.side * factor).weights()
