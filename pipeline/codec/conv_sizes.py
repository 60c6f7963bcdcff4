"""Sizes of what a convolutional codec takes and gives: what does not fit is filled, and cut back to what was there."""

import numbers
from typing import Any

import jax.numpy as jnp
import numpy as np

from pipeline.errors import DataError

# (frames, height, width) to cut back to; what is None stays as it is, and of images the frames are.
Size = tuple[int | None, int | None, int | None]


def is_whole(number: Any) -> bool:
    """Whether it is a whole number, which "8", 8.0 and True are not."""
    return isinstance(number, numbers.Integral) and not isinstance(number, bool)


def filled(x: Any, *, spatial_factor: int, temporal_factor: int) -> tuple[Any, str]:
    """x [b h w c] or [b t h w c] with its last row, column and frame repeated until it fits; what was done, in words.

    Heights and widths become multiples of spatial_factor, lengths 1 + temporal_factor * k.
    """
    *time, height, width = x.shape[1:-1]
    below, right = -height % spatial_factor, -width % spatial_factor
    after = (1 - time[0]) % temporal_factor if time else 0
    if not (below or right or after):
        return x, ""
    widths = [(0, 0), *([(0, after)] if time else []), (0, below), (0, right), (0, 0)]
    told = []
    if after:
        told.append(f"{time[0]} frames are filled to {time[0] + after} (1 + {temporal_factor}k)")
    if below or right:
        told.append(f"{height}x{width} pixels are filled to {height + below}x{width + right}")
    return (np if isinstance(x, np.ndarray) else jnp).pad(x, widths, mode="edge"), " and ".join(told)


def checked_size(size: Any, *, is_video: bool) -> Size:
    """A caller's (height, width), of clips also (frames, height, width), or None.

    Raises:
      DataError: it is none of these.
    """
    if size is None:
        return None, None, None
    lengths = (2, 3) if is_video else (2,)
    if not isinstance(size, tuple | list) or len(size) not in lengths or not all(is_whole(n) and n > 0 for n in size):
        wanted = "(height, width) or (frames, height, width)" if is_video else "(height, width)"
        raise DataError(f"decode: size={size!r} must be {wanted}, whole numbers above 0")
    frames, height, width = (None, *size)[-3:]
    return frames, height, width


def refuse_larger(size: Size, given: Size) -> None:
    """Raises DataError where `size` is larger than what latents give."""
    for name, wanted, found in zip(("frames", "height", "width"), size, given):
        if wanted is not None and found is not None and wanted > found:
            raise DataError(f"decode: size asks for {name} {wanted}, and these latents give {found}")


def cut(decoded: Any, size: Size) -> Any:
    """Images [b h w c] or clips [b t h w c] without what was filled in."""
    frames, height, width = size
    return decoded[:, :frames, :height, :width] if decoded.ndim == 5 else decoded[:, :height, :width]
