"""Split an image of any size into squares of a model's size, and join them again."""

import dataclasses

import numpy as np
from jaxtyping import UInt8


@dataclasses.dataclass(frozen=True)
class Tiling:
    """A grid of rows x columns squares of side `size` over an image of height x width pixels.

    The grid starts at the top left corner. Squares that cross the edge of the image are padded by
    repeating its last pixels.
    """

    height: int
    width: int
    size: int

    @property
    def rows(self) -> int:
        """Number of squares from top to bottom."""
        return -(-self.height // self.size)

    @property
    def columns(self) -> int:
        """Number of squares from left to right."""
        return -(-self.width // self.size)

    def split(self, image: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "n size size c"]:
        """Return the squares, row by row."""
        below, right = self.rows * self.size - self.height, self.columns * self.size - self.width
        padded = np.pad(image, ((0, below), (0, right), (0, 0)), mode="edge")
        cells = padded.reshape(self.rows, self.size, self.columns, self.size, -1).swapaxes(1, 2)
        return cells.reshape(self.rows * self.columns, self.size, self.size, -1)

    def join(self, squares: UInt8[np.ndarray, "n size size c"]) -> UInt8[np.ndarray, "h w c"]:
        """Return the image of these squares, without padding."""
        cells = squares.reshape(self.rows, self.columns, self.size, self.size, -1).swapaxes(1, 2)
        whole = cells.reshape(self.rows * self.size, self.columns * self.size, -1)
        return whole[: self.height, : self.width]

    def __str__(self) -> str:
        if (self.height, self.width) == (self.size, self.size):
            return "whole"
        height, width = self.rows * self.size, self.columns * self.size
        padded = (height, width) != (self.height, self.width)
        note = f", padded to {height}x{width}" if padded else ""
        return f"tiled {self.rows}x{self.columns} of {self.size}x{self.size}{note}"
