"""Decodes the bytes of an image file of any mode to uint8 pixels.

Grey, palette, CMYK and 1-bit images are converted to the requested channels. Transparency is
composited on white. 16-bit grey is scaled to 8 bits (65535 -> 255); 16-bit colour loses its low
byte in the decoder. An animation gives its first frame. The EXIF orientation is applied. Float
images have no known range and are refused.
"""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from pipeline.data.unreadable import Unreadable

_ORIENTATION = 0x0112  # EXIF tag
_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")


def decode(data: bytes, channels: int, *, at_least: int = 0) -> UInt8[np.ndarray, "h w c"]:
    """Return the pixels of an encoded image with 1 channel (grey) or 3 (RGB). Thread-safe.

    With `at_least`, a JPEG may be returned smaller by 2, 4 or 8, as long as its shorter side keeps
    twice that many pixels: the decoder then does part of the shrinking in a fraction of the time.

    Raises:
      Unreadable: the bytes cannot be decoded, or have no known range.
    """
    try:
        with Image.open(io.BytesIO(data)) as file:
            if at_least and file.format == "JPEG":
                _draft(file, 2 * at_least)
            file.load()
            upright = file.getexif().get(_ORIENTATION, 1) == 1
            image = file if upright else ImageOps.exif_transpose(file)
    except MemoryError:
        raise
    except Exception as error:  # on damaged bytes Pillow's decoders raise nearly anything
        raise Unreadable(_reason(error)) from error
    image = _to_8_bits(image)
    if image.mode in _ALPHA or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB" if channels == 3 else "L")
    pixels = np.asarray(image)
    return pixels if channels == 3 else pixels[:, :, None]


def _draft(file: Image.Image, side: int) -> None:
    # draft() keeps both sides at or above the request, so request the image's own aspect ratio.
    scale = side / min(file.size)
    if scale < 1:
        file.draft(None, (round(file.width * scale), round(file.height * scale)))


def _to_8_bits(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise Unreadable("float pixels have no known range: save it with 8 or 16 bits")
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise Unreadable(
            "32-bit pixels beyond 65535 have no known range: save it with 8 or 16 bits"
        )
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))


def _reason(error: Exception) -> str:
    text = str(error).split("<_io.BytesIO")[0].strip() or type(error).__name__
    return "not an image that Pillow knows" if text == "cannot identify image file" else text
