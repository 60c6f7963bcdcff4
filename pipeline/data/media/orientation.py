"""The orientation of a video's frames, from the display matrix that its container stores.

A matrix (ISO/IEC 14496-12, 8.5.3) is [a b u; c d v; x y w] in fixed point: the pixel (x, y) is
shown at (a x + c y, b x + d y), up to a shift. The eight combinations of quarter turns and
mirroring are applied; any other matrix is ignored.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

_ONE = 1 << 16
_TOLERANCE = _ONE // 100
IGNORED = "its display matrix is no quarter turn or mirroring, and is ignored"


class Orientation(NamedTuple):
    """Exchange rows and columns if `transposed`, and then reverse the rows or the columns."""

    transposed: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    def apply(self, pixels: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "..."]:
        """Return stored pixels upright, as a view."""
        if self == UPRIGHT:
            return pixels
        turned = pixels.swapaxes(0, 1) if self.transposed else pixels
        return turned[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return the upright size of a stored one, and the other way round."""
        return (width, height) if self.transposed else (height, width)


UPRIGHT = Orientation()


def of_matrix(matrix: Sequence[int]) -> Orientation | None:
    """Return the orientation that a display matrix of 9 numbers stands for, or None."""
    a, b, u, c, d, v = matrix[:6]
    if u or v:
        return None
    if _unit(a) and _unit(d) and _zero(b) and _zero(c):
        return Orientation(False, d < 0, a < 0)
    if _unit(b) and _unit(c) and _zero(a) and _zero(d):
        return Orientation(True, b < 0, c < 0)
    return None


def of_frame(frame: Any) -> Orientation | None:
    """Return the orientation of a decoded frame of PyAV, or None if its matrix is another one."""
    from av.sidedata.sidedata import Type

    stored = frame.side_data.get(Type.DISPLAYMATRIX)
    if stored is None:
        return UPRIGHT
    return of_matrix(np.frombuffer(stored, np.int32)[:9].tolist())


def _unit(value: int) -> bool:
    return abs(abs(value) - _ONE) <= _TOLERANCE


def _zero(value: int) -> bool:
    return abs(value) <= _TOLERANCE
