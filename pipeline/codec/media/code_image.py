"""Code an image of any size with a fixed-size codec: in tiles, or resized and cropped."""

import dataclasses
import math
from collections.abc import Iterator

import jax
import numpy as np
from jaxtyping import Shaped, UInt8

from pipeline.codec.encodings import smallest_integers
from pipeline.codec.fixed_size import FixedSizeCodec
from pipeline.codec.tiling.tiles import Tiling
from pipeline.core.errors import DataError
from pipeline.data.images.transforms import Transform

PIXELS_AT_ONCE = {"cpu": 1 << 14, "accelerator": 1 << 18}
MOST_LATENTS = 1 << 29  # latent elements that `encode` holds for an image: 2 GiB

# Latents of n squares, one array per layer, top layer first; of a model of codes, their indices.
Layers = tuple[Shaped[np.ndarray, "n ..."], ...]


@dataclasses.dataclass(frozen=True)
class Fitted:
    """An image prepared for a codec: `shown` [h w c] is coded in the squares of `tiling`."""

    shown: UInt8[np.ndarray, "h w c"]
    tiling: Tiling
    how: str


def fit(codec: FixedSizeCodec, image: UInt8[np.ndarray, "h w c"], how: str = "tile") -> Fitted:
    """Fit an image to a codec's size.

    "tile" splits it into squares and keeps every pixel; "resize" scales its shorter side up or down
    to the model's size and keeps the centre square.
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


def encode(codec: FixedSizeCodec, fitted: Fitted, label: int | None = None) -> Layers:
    """Return posterior means or indices, one array per layer, top first, each of n squares row by
    row. `label` is the class of all squares, as in `FixedSizeCodec.encode`.

    Raises:
      DataError: they would take more than MOST_LATENTS elements.
    """
    tiling = fitted.tiling
    numbers = tiling.rows * tiling.columns * sum(math.prod(shape) for shape in codec.latent_shapes)
    if numbers > MOST_LATENTS:
        raise DataError(
            f"{tiling}: its latents are {numbers:,} numbers, {4 * numbers / 2**30:.1f} GiB, and at "
            f"most {4 * MOST_LATENTS / 2**30:.0f} GiB are written: shrink it, or give --fit resize"
        )
    parts = [
        _encode(codec, squares, count, label)
        for squares, count in _batches(tiling.split(fitted.shown))
    ]
    return tuple(np.concatenate(layer) for layer in zip(*parts))


def decode(
    codec: FixedSizeCodec, latents: Layers, tiling: Tiling, label: int | None = None
) -> UInt8[np.ndarray, "h w c"]:
    """Return the image of these latents, all squares with the class `label`."""
    batches = zip(*(_batches(layer, tiling.size) for layer in latents))
    squares = [
        _decode(codec, tuple(z for z, _ in layers), layers[0][1], label) for layers in batches
    ]
    return tiling.join(np.concatenate(squares))


def reconstruct(
    codec: FixedSizeCodec, fitted: Fitted, label: int | None = None
) -> UInt8[np.ndarray, "h w c"]:
    """Return the image after encoding and decoding; only one batch of latents is held at a time."""
    batches = _batches(fitted.tiling.split(fitted.shown))
    squares = [np.asarray(codec.reconstruct(part, label=label))[:count] for part, count in batches]
    return fitted.tiling.join(np.concatenate(squares))


def _encode(
    codec: FixedSizeCodec, squares: np.ndarray, count: int, label: int | None
) -> list[np.ndarray]:
    encoding = codec.encode(squares, label=label)
    z = encoding.indices() if codec.num_codes else encoding.mode()
    layers = [np.asarray(layer)[:count] for layer in (z if isinstance(z, tuple) else (z,))]
    if not codec.num_codes:
        return layers
    return [smallest_integers(layer, codec.num_codes) for layer in layers]


def _decode(
    codec: FixedSizeCodec, layers: tuple[np.ndarray, ...], count: int, label: int | None
) -> np.ndarray:
    are_indices = np.issubdtype(layers[0].dtype, np.integer)
    decode = codec.decode_indices if are_indices else codec.decode
    return np.asarray(decode(layers, label=label))[:count]


def _batches(rows: np.ndarray, size: int = 0) -> Iterator[tuple[np.ndarray, int]]:
    """Yield (rows, number that count): a single row, or padded batches of one size.

    Each batch size is compiled separately, so the last batch is padded to the size of the others.
    """
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
