"""Grids of images, written as one PNG."""

import os
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image, ImageDraw, ImageFont

from pipeline.core import pixels

BACKGROUND = 48
GAP = 4
SMALLEST_CELL = 64  # smaller images are enlarged to about this many pixels
LARGEST_GRID = 2048


def grid(
    images: Shaped[np.ndarray, "n h w c"], *, columns: int | None = None, labels: Sequence[str] = ()
) -> UInt8[np.ndarray, "height width 3"]:
    """Lay out images row by row, with a gap around each.

    Args:
      images: uint8 or float in [-1, 1], with 1 or 3 channels. Small ones are enlarged by an integer
        factor, with hard pixel edges.
      columns: images per row; by default the grid is nearly square.
      labels: text at the left of each row.
    """
    images = as_uint8(images)
    count, height, width, channels = images.shape
    columns = int(np.ceil(np.sqrt(count))) if columns is None else columns
    rows = -(-count // columns)
    scale = _scale(max(height, width), max(rows, columns))
    if channels == 1:
        images = images.repeat(3, axis=-1)
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    height, width = height * scale, width * scale
    margin = _margin(labels)
    shape = (rows * (height + GAP) + GAP, margin + columns * (width + GAP) + GAP, 3)
    canvas = np.full(shape, BACKGROUND, np.uint8)
    for index, image in enumerate(images):
        top = GAP + index // columns * (height + GAP)
        left = margin + GAP + index % columns * (width + GAP)
        canvas[top : top + height, left : left + width] = image
    return _write(canvas, labels, height + GAP)


def save(path: str | os.PathLike, canvas: UInt8[np.ndarray, "height width 3"]) -> None:
    """Write a PNG atomically; create its folder if needed."""
    path = os.fspath(path)
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    partial = f"{path}.partial"
    Image.fromarray(canvas).save(partial, format="PNG")
    os.replace(partial, path)


def as_uint8(images: Shaped[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Convert images of either form to uint8 on the host."""
    if images.dtype == np.uint8:
        return np.asarray(images)
    return np.asarray(pixels.to_uint8(jnp.asarray(images)))


def _scale(cell: int, cells: int) -> int:
    enlarged = -(-SMALLEST_CELL // cell)
    return max(1, min(enlarged, LARGEST_GRID // (cell * cells)))


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=14)


def _margin(labels: Sequence[str]) -> int:
    """Return the width of the longest label, in pixels."""
    if not labels:
        return 0
    return int(max(_font().getlength(label) for label in labels)) + 3 * GAP


def _write(
    canvas: UInt8[np.ndarray, "height width 3"], labels: Sequence[str], row_height: int
) -> UInt8[np.ndarray, "height width 3"]:
    if not labels:
        return canvas
    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    for row, label in enumerate(labels):
        draw.text(
            (2 * GAP, GAP + row * row_height + row_height // 2),
            label,
            (255,) * 3,
            font=_font(),
            anchor="lm",
        )
    return np.array(picture)
