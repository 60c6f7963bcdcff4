"""Chunks of PNG files: the ones that hold pixels, and colours that Pillow leaves as they are."""

import struct
import zlib
from collections.abc import Iterator

from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_OF_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_MAX_PROFILE = 16 << 20  # bytes, decompressed
_SRGB_POINTS = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)  # white, red, green, blue
_SRGB_GAMMA = 1 / 2.2
_SRGB_CODES = ((1, 13), (1, 1))  # primaries and transfer functions of cICP; ITU-T H.273


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield (name, content, whole chunk) of each complete chunk of a PNG; nothing of other files.

    The last chunk is yielded also if the file ends within it.
    """
    place = len(_SIGNATURE)
    if not data.startswith(_SIGNATURE):
        return
    while place + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        yield name, data[place + 8 : place + 8 + length], data[place : place + 12 + length]
        place += 12 + length


def without_metadata(data: bytes) -> bytes | None:
    """Return a PNG with its pixels and its orientation alone; None for other files.

    Pillow refuses the whole file if text is large or one of many kinds of metadata is damaged.
    """
    if not data.startswith(_SIGNATURE):
        return None
    kept = [whole for name, _, whole in chunks(data) if name in (*_OF_PIXELS, b"eXIf")]
    return _SIGNATURE + b"".join(kept)


def profile(data: bytes) -> bytes | None:
    """Return the ICC profile of a PNG, also one that is too large for Pillow.

    An incomplete profile is empty; None without one.
    """
    content = next((content for name, content, _ in chunks(data) if name == b"iCCP"), None)
    if content is None:
        return None
    _, _, packed = content.partition(b"\0")
    try:
        return zlib.decompressobj().decompress(packed[1:], _MAX_PROFILE)
    except zlib.error:
        return b""


def scale_transparency(image: Image.Image) -> None:
    """Scale the transparent colour of a PNG of 2, 4 or 16 bits as Pillow scales its pixels."""
    value = image.info.get("transparency")
    raw = image.tile[0].args if image.tile else None  # type: ignore[attr-defined]
    if isinstance(value, int) and raw in ("L;2", "L;4"):
        image.info["transparency"] = value * (85 if raw == "L;2" else 17)
    if isinstance(value, tuple) and raw == "RGB;16B":
        image.info["transparency"] = tuple(part >> 8 for part in value)


def colour_remarks(data: bytes, image: Image.Image) -> list[str]:
    """Return remarks on colours other than sRGB that are described without a profile.

    They are in the chunks gAMA, cHRM and cICP, which are not applied.
    """
    codes = next((tuple(content[:2]) for name, content, _ in chunks(data) if name == b"cICP"), None)
    if codes is not None and codes not in _SRGB_CODES:
        return [f"its colours (cICP {codes[0]}/{codes[1]}) are taken as sRGB"]
    if codes is not None or "icc_profile" in image.info or "srgb" in image.info:
        return []
    remarks = []
    gamma, points = image.info.get("gamma"), image.info.get("chromaticity")
    if gamma is not None and abs(gamma / _SRGB_GAMMA - 1) > 0.05:
        remarks.append(f"its gamma of {gamma:.3g} is not applied")
    if points and max(abs(a - b) for a, b in zip(points, _SRGB_POINTS)) > 0.01:
        remarks.append("its primaries (cHRM) are taken as sRGB's")
    return remarks
