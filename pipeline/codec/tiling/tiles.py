"""Pictures of any size as squares of a model's size, and back."""

import dataclasses

import numpy as np
from jaxtyping import UInt8


@dataclasses.dataclass(frozen=True)
class Tiling:
    """A picture of height x width pixels covered by rows x columns squares of `size`, from its top left corner.

    Squares that reach over the picture's edge are filled by repeating its last pixels.
    """

    height: int
    width: int
    size: int

    @property
    def rows(self) -> int:
        """Squares from top to bottom."""
        return -(-self.height // self.size)

    @property
    def columns(self) -> int:
        """Squares from left to right."""
        return -(-self.width // self.size)

    def split(self, image: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "n size size c"]:
        """The squares, row by row."""
        below, right = self.rows * self.size - self.height, self.columns * self.size - self.width
        padded = np.pad(image, ((0, below), (0, right), (0, 0)), mode="edge")
        cells = padded.reshape(self.rows, self.size, self.columns, self.size, -1).swapaxes(1, 2)
        return cells.reshape(self.rows * self.columns, self.size, self.size, -1)

    def join(self, squares: UInt8[np.ndarray, "n size size c"]) -> UInt8[np.ndarray, "h w c"]:
        """The picture of these squares, what lies beyond its edges cut off."""
        cells = squares.reshape(self.rows, self.columns, self.size, self.size, -1).swapaxes(1, 2)
        whole = cells.reshape(self.rows * self.size, self.columns * self.size, -1)
        return whole[: self.height, : self.width]

    def __str__(self) -> str:
        if (self.height, self.width) == (self.size, self.size):
            return "whole"
        filled = (self.rows * self.size, self.columns * self.size)
        padded = (
            "" if filled == (self.height, self.width) else f", padded to {filled[0]}x{filled[1]}"
        )
        return f"tiled {self.rows}x{self.columns} of {self.size}x{self.size}{padded}"
