"""Pictures of histograms of vectors: one panel for each number, with heavy tails in view."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

_PANEL = (320, 200)  # width and height in pixels
_MARGIN, _BINS = 24, 60
_COLOURS = ((120, 120, 120), (230, 120, 30))
_BACKGROUND, _INK = (255, 255, 255), (40, 40, 40)


def histograms(
    sets: Mapping[str, Float[np.ndarray, "n d"]], *, columns: int = 4, most: int = 16
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw the histograms of up to two sets over each other, one panel for each of `most` numbers.

    The axis of values is that of asinh, linear near 0 and logarithmic in the tails, and the axis of
    densities is logarithmic.
    """
    width = next(iter(sets.values())).shape[1]
    shown = min(width, most)
    columns = min(columns, shown)
    rows = -(-shown // columns)
    picture = Image.new("RGB", (columns * _PANEL[0], rows * _PANEL[1]), _BACKGROUND)
    draw = ImageDraw.Draw(picture)
    for place in range(shown):
        corner = (place % columns * _PANEL[0], place // columns * _PANEL[1])
        _panel(draw, corner, f"x{place}", [each[:, place] for each in sets.values()], list(sets))
    return np.asarray(picture)


def _panel(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    title: str,
    values: Sequence[Float[np.ndarray, " n"]],
    names: Sequence[str],
) -> None:
    font = ImageFont.load_default(size=12)
    left, top = corner[0] + _MARGIN, corner[1] + _MARGIN
    width, height = _PANEL[0] - 2 * _MARGIN, _PANEL[1] - 2 * _MARGIN
    mapped = [np.arcsinh(each.astype(np.float64)) for each in values]
    low, high = min(map(np.min, mapped)), max(map(np.max, mapped))
    high = high if high > low else low + 1
    heights = [_log_counts(each, low, high) for each in mapped]
    for found, colour in zip(heights, _COLOURS):
        points = []
        for number, value in enumerate(found):
            y = top + height - value * height
            points += [(left + (number + side) * width / _BINS, y) for side in (0, 1)]
        draw.line(points, fill=colour, width=2)
    draw.line([(left, top + height), (left + width, top + height)], fill=_INK)
    for at in (low, (low + high) / 2, high):
        x = left + (at - low) / (high - low) * width
        draw.text((x, top + height + 4), f"{np.sinh(at):.3g}", _INK, font=font, anchor="mt")
    draw.text((left, corner[1] + 6), title, _INK, font=font)
    for number, (name, colour) in enumerate(zip(names, _COLOURS)):
        draw.text((left + 60 + 100 * number, corner[1] + 6), name, colour, font=font)


def _log_counts(x: Float[np.ndarray, " n"], low: float, high: float) -> Float[np.ndarray, " bins"]:
    """Return the logarithm of each bin's share, scaled so that one example is 0 and all are 1."""
    counts = np.histogram(x, _BINS, (low, high))[0]
    return np.log1p(counts) / np.log1p(len(x))
