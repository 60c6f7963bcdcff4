"""Sizes of what a convolutional codec takes and gives: what does not fit is filled, and cut back to what was there."""

import numbers
from typing import Any

import jax.numpy as jnp
import numpy as np

from pipeline.core.errors import DataError

# (frames, height, width) to cut back to; what is None stays as it is, and of images the frames are.
Size = tuple[int | None, int | None, int | None]


def is_whole(number: Any) -> bool:
    """Whether it is a whole number, which "8", 8.0 and True are not."""
    return isinstance(number, numbers.Integral) and not isinstance(number, bool)


def is_chunk(frames: Any, factor: int) -> bool:
    """Whether a clip can be coded so many frames at a time, of which `factor` are one latent frame."""
    return is_whole(frames) and frames > 0 and frames % factor == 0


def is_tile(side: Any, factor: int) -> bool:
    """Whether frames can be coded in squares of that many pixels, of which `factor` each way are one latent."""
    return is_whole(side) and side >= 2 * factor and side % factor == 0


def filled(
    x: Any, *, spatial_factor: int, temporal_factor: int, before: int = 0
) -> tuple[Any, str]:
    """x [b h w c] or [b t h w c] with its last row, column and frame repeated until it fits; what was done, in words.

    Heights and widths become multiples of spatial_factor, lengths 1 + temporal_factor * k. `before` are the frames of
    the clip that came before x, when what there is to say of rows and columns was said.
    """
    *time, height, width = x.shape[1:-1]
    below, right = -height % spatial_factor, -width % spatial_factor
    frames = before + sum(time)
    after = (1 - frames) % temporal_factor if time else 0
    if not (below or right or after):
        return x, ""
    widths = [(0, 0), *([(0, after)] if time else []), (0, below), (0, right), (0, 0)]
    told = []
    if after:
        told.append(f"{frames} frames are filled to {frames + after} (1 + {temporal_factor}k)")
    if (below or right) and not before:
        told.append(f"{height}x{width} pixels are filled to {height + below}x{width + right}")
    return (np if isinstance(x, np.ndarray) else jnp).pad(x, widths, mode="edge"), " and ".join(
        told
    )


def checked_size(size: Any, *, is_video: bool) -> Size:
    """A caller's (height, width), of clips also (frames, height, width), or None.

    Raises:
      DataError: it is none of these.
    """
    if size is None:
        return None, None, None
    lengths = (2, 3) if is_video else (2,)
    if (
        not isinstance(size, tuple | list)
        or len(size) not in lengths
        or not all(is_whole(n) and n > 0 for n in size)
    ):
        wanted = "(height, width) or (frames, height, width)" if is_video else "(height, width)"
        raise DataError(f"decode: size={size!r} must be {wanted}, whole numbers above 0")
    frames, height, width = (None, *size)[-3:]
    return frames, height, width


def refuse_larger(size: Size, given: Size) -> None:
    """Raises DataError where `size` is larger than what latents give."""
    for name, wanted, found in zip(("frames", "height", "width"), size, given):
        if wanted is not None and found is not None and wanted > found:
            raise DataError(
                f"decode: size asks for {name} {wanted}, and these latents give {found}"
            )


def cut(decoded: Any, size: Size) -> Any:
    """Images [b h w c] or clips [b t h w c] without what was filled in."""
    frames, height, width = size
    return (
        decoded[:, :frames, :height, :width] if decoded.ndim == 5 else decoded[:, :height, :width]
    )
