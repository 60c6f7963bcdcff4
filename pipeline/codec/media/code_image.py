"""A codec on a picture of any size: in tiles, or shrunk and cropped to the model's size."""

import dataclasses
import math
from collections.abc import Iterator

import jax
import numpy as np
from jaxtyping import Float, UInt8

from pipeline.codec.fixed_size import Codec
from pipeline.codec.tiling.tiles import Tiling
from pipeline.core.errors import DataError
from pipeline.data.images.transforms import Transform

FITS = ("tile", "resize")
PIXELS_AT_ONCE = {"cpu": 1 << 14, "accelerator": 1 << 18}
MOST_LATENTS = 1 << 29  # numbers of a picture that `encode` holds: 2 GiB

# Latents of n squares, an array a layer, top first.
Layers = tuple[Float[np.ndarray, "n ..."], ...]


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A picture as a codec sees it: `shown` [h w c] is what is coded, in the squares of `tiling`."""

    shown: UInt8[np.ndarray, "h w c"]
    tiling: Tiling
    how: str


def fit(codec: Codec, image: UInt8[np.ndarray, "h w c"], how: str = "tile") -> Fitted:
    """Brings a picture to a codec's size.

    "tile" cuts it into squares and keeps every pixel; "resize" scales its shorter side to the model's size, up or
    down, and keeps the square in the centre.
    """
    size, _, channels = codec.image_shape
    height, width = image.shape[:2]
    if how == "tile" or (height, width) == (size, size):
        tiling = Tiling(height, width, size)
        return Fitted(image, tiling, str(tiling))
    shown = Transform(size, channels, resize="fit").square(image, 0, 0)
    return Fitted(
        shown, Tiling(size, size, size), f"the centre of {height}x{width} resized to {size}x{size}"
    )


def encode(codec: Codec, fitted: Fitted) -> Layers:
    """Posterior means, an array a layer, top first; n squares, row by row.

    Raises:
      DataError: they would take more than MOST_LATENTS numbers.
    """
    tiling = fitted.tiling
    numbers = tiling.rows * tiling.columns * sum(math.prod(shape) for shape in codec.latent_shapes)
    if numbers > MOST_LATENTS:
        raise DataError(
            f"{tiling}: its latents are {numbers:,} numbers, {4 * numbers / 2**30:.1f} GiB, and at most "
            f"{4 * MOST_LATENTS / 2**30:.0f} GiB are written: shrink it, or give --fit resize"
        )
    parts = [
        _encode(codec, squares, count) for squares, count in _batches(tiling.split(fitted.shown))
    ]
    return tuple(np.concatenate(layer) for layer in zip(*parts))


def decode(codec: Codec, latents: Layers, tiling: Tiling) -> UInt8[np.ndarray, "h w c"]:
    """The picture of these latents."""
    batches = zip(*(_batches(layer, tiling.size) for layer in latents))
    squares = [_decode(codec, tuple(z for z, _ in layers), layers[0][1]) for layers in batches]
    return tiling.join(np.concatenate(squares))


def reconstruct(codec: Codec, fitted: Fitted) -> UInt8[np.ndarray, "h w c"]:
    """The picture after encoding and decoding, however large: of the latents, one batch at a time is kept."""
    batches = _batches(fitted.tiling.split(fitted.shown))
    squares = [np.asarray(codec.reconstruct(part))[:count] for part, count in batches]
    return fitted.tiling.join(np.concatenate(squares))


def _encode(codec: Codec, squares: np.ndarray, count: int) -> list[np.ndarray]:
    z = codec.encode(squares).mode()
    return [np.asarray(layer)[:count] for layer in (z if isinstance(z, tuple) else (z,))]


def _decode(codec: Codec, layers: tuple[np.ndarray, ...], count: int) -> np.ndarray:
    return np.asarray(codec.decode(layers))[:count]


def _batches(rows: np.ndarray, size: int = 0) -> Iterator[tuple[np.ndarray, int]]:
    """(rows, how many of them count): one row alone, or batches of one size, as each size is compiled by itself."""
    size = size or rows.shape[1]
    pixels = PIXELS_AT_ONCE["cpu" if jax.default_backend() == "cpu" else "accelerator"]
    batch = 1 if len(rows) == 1 else max(1, pixels // size**2)
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        count = len(part)
        yield (
            (
                np.concatenate([part, part[-1:].repeat(batch - count, axis=0)])
                if count < batch
                else part
            ),
            count,
        )
