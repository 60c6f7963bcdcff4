"""Decodes the bytes of an image file of any mode to uint8 pixels in sRGB.

Training, packing and the codec commands all decode with this one function. Grey, palette, CMYK,
CIELAB and 1-bit images are converted to the requested channels. An ICC profile is applied.
Transparency is composited on white. 16-bit grey is scaled to 8 bits (65535 -> 255); 16-bit colour
loses its low byte in the decoder. An animation gives its first frame. The EXIF or XMP orientation
is applied. Float and signed images have no known range and are refused. Metadata that are damaged
or too large are ignored.
"""

import contextlib
import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pipeline.data.images import decoder_noise, png, profiles, tiff
from pipeline.data.unreadable import Unreadable

_ORIENTATION = 0x0112  # EXIF tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_INTEROPERABILITY, _ADOBE_RGB = 0xA005, "R03"  # EXIF; DCF 2.0


def decode(
    data: bytes, channels: int, *, at_least: int = 0, remarks: list[str] | None = None
) -> UInt8[np.ndarray, "h w c"]:
    """Return the pixels of an encoded image with 1 channel (grey) or 3 (RGB). Thread-safe.

    With `at_least`, a JPEG may be returned smaller by 2, 4 or 8, as long as its shorter side keeps
    twice that many pixels: the decoder then does part of the shrinking in a fraction of the time.
    A list of `remarks` is extended by what was converted, and what in the file was ignored.

    Raises:
      Unreadable: the bytes cannot be decoded, or have no known range.
    """
    decoder_noise.silence()
    said: list[str] = []
    try:
        pixels = _decode(data, channels, at_least, said, complete=remarks is not None)
    except (MemoryError, Unreadable):
        raise
    except Exception as error:  # on damaged bytes Pillow's decoders raise nearly anything
        said = []
        pixels = _decode_pixels_alone(data, channels, said, complete=remarks is not None)
        if pixels is None:
            raise Unreadable(_reason(data, error)) from error
    if remarks is not None:
        remarks += said
    return pixels


def _decode_pixels_alone(
    data: bytes, channels: int, said: list[str], *, complete: bool
) -> np.ndarray | None:
    """Decode an image that cannot be decoded with its metadata; None if it cannot without."""
    plain = png.without_metadata(data)
    if plain is None:
        return None
    with contextlib.suppress(Exception):
        pixels = _decode(plain, channels, 0, said, complete=complete, icc_profile=png.profile(data))
        said.append("metadata that are damaged or too large were ignored")
        return pixels
    return None


def _decode(
    data: bytes,
    channels: int,
    at_least: int,
    said: list[str],
    *,
    complete: bool,
    icc_profile: bytes | None = None,
) -> np.ndarray:
    """Return the pixels. `complete`: add remarks that need other parts of the file as well."""
    with Image.open(io.BytesIO(data)) as file:
        if at_least and file.format == "JPEG":
            _draft(file, 2 * at_least)
        samples = tiff.prepare(file)
        if file.format == "PNG":
            png.scale_transparency(file)
        mode, is_tiff = file.mode, file.format == "TIFF"
        # Loading turns a TIFF, and reads what a PNG has after its pixels.
        orientation = _orientation(file, said) if is_tiff else 1
        file.load()
        orientation = orientation if is_tiff else _orientation(file, said)
        image: Image.Image = file
        if orientation in _UPRIGHT and not is_tiff:
            image = file.transpose(_UPRIGHT[orientation])
        if mode != ("RGB" if channels == 3 else "L"):
            said.insert(0, f"{mode} converted to {'RGB' if channels == 3 else 'grey'}")
        if icc_profile is None and "icc_profile" in file.info:
            icc_profile = file.info["icc_profile"] or b""
        image = _in_srgb(_to_8_bits(image, samples), icc_profile, said)
        pixels = np.asarray(image.convert("RGB" if channels == 3 else "L"))
        if orientation in _UPRIGHT:
            said.append("turned upright as its EXIF data says")
        if complete:
            said += _colours_not_applied(data, file)
            said += _frames(file)  # last, because counting frames seeks in the file
    return pixels if channels == 3 else pixels[:, :, None]


def _in_srgb(image: Image.Image, profile: bytes | None, said: list[str]) -> Image.Image:
    """Return an image without alpha: its colours in sRGB, composited on white."""
    transparent = image.mode in _ALPHA or "transparency" in image.info
    if not transparent:
        return image if profile is None else profiles.to_srgb(image, profile, said)
    said.append("transparency on white")
    grey = image.mode in ("1", "L", "LA", "La")
    image = image.convert("RGBA")
    if profile is not None:
        alpha = image.getchannel("A")
        colours = image.convert("L" if grey else "RGB")
        image = profiles.to_srgb(colours, profile, said).convert("RGB")
        image.putalpha(alpha)
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _orientation(file: Image.Image, said: list[str]) -> int:
    """Return the EXIF orientation, or XMP's; 1 without one, or if the EXIF data are damaged."""
    try:
        exif = file.getexif()
        if file.info.get("exif") and not exif:
            raise ValueError
        value = exif.get(_ORIENTATION, 1)
        return value if isinstance(value, int) else 1
    except MemoryError:
        raise
    except Exception:  # on damaged EXIF data Pillow raises nearly anything
        said.append("its EXIF data are damaged and were ignored")
        return 1


def _draft(file: Image.Image, side: int) -> None:
    # draft() keeps both sides at or above the request, so request the image's own aspect ratio.
    scale = side / min(file.size)
    if scale < 1:
        file.draft(None, (round(file.width * scale), round(file.height * scale)))


def _to_8_bits(image: Image.Image, samples: tiff.Samples) -> Image.Image:
    if image.mode == "F":
        raise Unreadable(tiff.FLOAT)
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise Unreadable(
            "32-bit pixels outside of 0..65535 have no known range: save it with 8 or 16 bits"
        )
    full = samples.full
    scaled = ((values * 255 + full // 2) // full).astype(np.uint8)
    if samples.inverted:
        scaled = 255 - scaled
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        alpha = np.where(values == transparent, 0, 255).astype(np.uint8)
        return Image.fromarray(np.stack([scaled, alpha], axis=-1))
    return Image.fromarray(scaled)


def _colours_not_applied(data: bytes, file: Image.Image) -> list[str]:
    """Return remarks on what a file says of its colours other than by a profile."""
    if file.format == "PNG":
        return png.colour_remarks(data, file)
    if file.format == "TIFF":
        return tiff.colour_remarks(file)
    with contextlib.suppress(Exception):
        exif = file.getexif()
        index = exif.get_ifd(_INTEROPERABILITY).get(1)
        if "icc_profile" not in file.info and str(index).startswith(_ADOBE_RGB):
            return ["Adobe RGB without a profile is taken as sRGB"]
    return []


def _frames(image: Image.Image) -> list[str]:
    try:
        frames = getattr(image, "n_frames", 1)
    except Exception:  # a later frame is damaged
        return ["the first of several frames"]
    return [f"the first of {frames} frames"] if frames > 1 else []


def _reason(data: bytes, error: Exception) -> str:
    text = str(error).split("<_io.BytesIO")[0].strip() or type(error).__name__
    if text != "cannot identify image file":
        return text
    return tiff.reason(data) or "not an image that Pillow knows"
