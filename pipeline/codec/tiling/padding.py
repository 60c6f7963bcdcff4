"""Check sizes for an any-size codec, pad its input to a valid size, and crop its output back."""

import numbers
from typing import Any

import jax.numpy as jnp
import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.windows import Windows

# (frames, height, width) to crop to; None keeps a dimension as it is. Images have frames None.
Size = tuple[int | None, int | None, int | None]


def is_whole(number: Any) -> bool:
    """Return whether `number` is an integer; "8", 8.0 and True are not."""
    return isinstance(number, numbers.Integral) and not isinstance(number, bool)


def is_chunk(frames: Any, factor: int) -> bool:
    """Return whether `frames` is a valid chunk for a codec with this temporal factor."""
    return is_whole(frames) and frames > 0 and frames % factor == 0


def is_tile(side: Any, factor: int) -> bool:
    """Return whether `side`, in pixels, is a valid tile for a codec with this spatial factor."""
    return is_whole(side) and side >= 2 * factor and side % factor == 0


def pad(
    x: Any,
    *,
    spatial_factor: int,
    temporal_factor: int,
    windows: Windows | None = None,
    before: int = 0,
) -> tuple[Any, str]:
    """Pad x [b h w c] or [b t h w c] by repeating its last row, column and frame.

    Heights and widths become multiples of spatial_factor, lengths 1 + temporal_factor * k, or a
    length that the codec's windows take.

    Args:
      x: images or clips.
      spatial_factor: pixels along each side of a latent.
      temporal_factor: frames of one latent frame.
      windows: the windows of a codec that has any.
      before: frames of the clip that came before x. Above 0, the message leaves out the padding of
        rows and columns, which the first chunk has reported.

    Returns:
      the padded array, and a message that describes the padding, "" for none.
    """
    *time, height, width = x.shape[1:-1]
    below, right = -height % spatial_factor, -width % spatial_factor
    frames = before + sum(time)
    wanted = windows.padded(frames) - frames if windows else (1 - frames) % temporal_factor
    after = wanted if time else 0
    if not (below or right or after):
        return x, ""
    widths = [(0, 0), *([(0, after)] if time else []), (0, below), (0, right), (0, 0)]
    done = []
    if after:
        rule = windows.lengths if windows else f"1 + {temporal_factor}k"
        done.append(f"{frames} frames are padded to {frames + after} ({rule})")
    if (below or right) and not before:
        done.append(f"{height}x{width} pixels are padded to {height + below}x{width + right}")
    padded = (np if isinstance(x, np.ndarray) else jnp).pad(x, widths, mode="edge")
    return padded, " and ".join(done)


def checked_size(size: Any, *, is_video: bool) -> Size:
    """Return a caller's (height, width), for clips (frames, height, width), or None, as a Size.

    Raises:
      DataError: `size` is none of these.
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
    """Raise DataError if `size` is larger than `given`, the size that the latents decode to."""
    for name, wanted, found in zip(("frames", "height", "width"), size, given):
        if wanted is not None and found is not None and wanted > found:
            raise DataError(
                f"decode: size asks for {name} {wanted}, and these latents give {found}"
            )


def crop(decoded: Any, size: Size) -> Any:
    """Crop images [b h w c] or clips [b t h w c] to `size`."""
    frames, height, width = size
    return (
        decoded[:, :frames, :height, :width] if decoded.ndim == 5 else decoded[:, :height, :width]
    )
