"""TIFF files whose samples Pillow misreads: they are prepared, or refused with the reason.

A TIFF's pixels depend on its sample format, bits, photometric interpretation and layout of planes
(TIFF 6.0). Pillow knows a table of combinations and ignores some of the fields.
"""

import contextlib
import io
from collections.abc import Mapping
from typing import Any, NamedTuple

from PIL import Image, ImagePalette, TiffImagePlugin

from pipeline.data.unreadable import Unreadable

_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC = 256, 257, 258, 262
_PLANES, _COLOURS, _INKS, _SAMPLE_FORMAT = 284, 320, 332, 339
_UNAPPLIED = (301, 318, 319)  # transfer function, white point, primaries
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_SAMPLES = {_UNSIGNED: "unsigned", _SIGNED: "signed", _FLOAT: "float"}
_MIN_IS_WHITE, _YCBCR = 0, 6
_KINDS = {0: "grey (white is 0)", 1: "grey", 2: "RGB", 3: "palette", 4: "mask", 5: "CMYK"}
_KINDS |= {6: "YCbCr", 8: "CIELAB", 9: "ICCLAB", 32803: "raw sensor", 32845: "LogLuv"}

FLOAT = "float pixels have no known range: save it with 8 or 16 bits"
_SIGNED_SAMPLES = "signed pixels have no known range: save it with unsigned 8 or 16 bits"


class Samples(NamedTuple):
    """Meaning of 16-bit grey: the value of full scale, and whether that is black."""

    full: int = 65535
    inverted: bool = False


def prepare(file: Image.Image) -> Samples:
    """Correct how Pillow will load an opened TIFF, and return the meaning of 16-bit grey.

    Raises:
      Unreadable: Pillow would read other pixels than the file has.
    """
    if not isinstance(file, TiffImagePlugin.TiffImageFile):
        return Samples()
    tags = file.tag_v2
    bits, photometric = max(_tuple(tags, _BITS, 1)), tags.get(_PHOTOMETRIC, _MIN_IS_WHITE)
    if _SIGNED in _tuple(tags, _SAMPLE_FORMAT, _UNSIGNED) and bits < 32:
        raise Unreadable(_SIGNED_SAMPLES)
    if file.mode == "CMYK" and tags.get(_INKS, 1) != 1:
        raise Unreadable("its inks are not CMYK: save it as RGB")
    separate = tags.get(_PLANES, 1) == 2
    if separate and file.mode in ("LA", "La", "PA"):
        raise Unreadable("grey and alpha in separate planes are not supported: save it as RGB")
    if getattr(file, "_compression", "") == "raw" and (
        (separate and (bits != 8 or photometric == _YCBCR)) or _is_subsampled(file)
    ):
        _load_by_libtiff(file)
    # Some writers store 8 bits where TIFF has 16; libtiff has the same rule.
    if file.mode in ("P", "PA") and max(tags[_COLOURS]) < 256:
        file.palette = ImagePalette.raw("RGB;L", bytes(tags[_COLOURS]))
    full = (1 << bits) - 1 if file.mode.startswith("I;16") else 65535
    return Samples(full, photometric == _MIN_IS_WHITE)


def reason(data: bytes) -> str | None:
    """Return why Pillow does not open a TIFF; None for other files and damaged ones."""
    if not data.startswith(tuple(TiffImagePlugin.PREFIXES)):
        return None
    with contextlib.suppress(Exception):  # of a damaged directory Pillow raises nearly anything
        tags = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if b"+" in data[2:4] else 8])
        file = io.BytesIO(data)
        file.seek(tags.next)
        tags.load(file)
        bits, samples = _tuple(tags, _BITS, 1), _tuple(tags, _SAMPLE_FORMAT, _UNSIGNED)
        if _FLOAT in samples:
            return FLOAT
        if _SIGNED in samples:
            return _SIGNED_SAMPLES
        kind = _KINDS.get(tags[_PHOTOMETRIC], f"photometric interpretation {tags[_PHOTOMETRIC]}")
        return (
            f"a TIFF of {len(bits)} x {max(bits)} bits, {kind}, is not supported: "
            "save it as grey or RGB of 8 or 16 bits"
        )
    return None


def colour_remarks(file: Image.Image) -> list[str]:
    """Return a remark if a TIFF describes colours other than by a profile; that is not applied."""
    tags: Mapping[int, Any] = getattr(file, "tag_v2", {})
    if "icc_profile" in file.info or not any(tag in tags for tag in _UNAPPLIED):
        return []
    return ["its white point, primaries or transfer function are not applied"]


def _tuple(tags: Mapping[int, Any], tag: int, default: int) -> tuple[int, ...]:
    value = tags.get(tag, default)
    return value if isinstance(value, tuple) else (value,)


def _is_subsampled(file: TiffImagePlugin.TiffImageFile) -> bool:
    """Return whether uncompressed YCbCr has fewer chroma samples than pixels."""
    tags = file.tag_v2
    if file.mode != "YCbCr" or 279 not in tags:
        return False
    return sum(_tuple(tags, 279, 0)) < 3 * tags[_WIDTH] * tags[_HEIGHT]


def _load_by_libtiff(file: TiffImagePlugin.TiffImageFile) -> None:
    """Have libtiff read a file that Pillow would read itself, as it reads compressed ones."""
    if file.mode == "YCbCr":
        file._mode, raw = "RGB", "RGBX"
    elif max(_tuple(file.tag_v2, _BITS, 1)) == 16:
        raw = "I;16N" if file.mode.startswith("I;16") else f"{file.mode};16N"
    else:
        raw = file.mode
    size = (0, 0, file.tag_v2[_WIDTH], file.tag_v2[_HEIGHT])
    offset = file.tag_v2.offset
    file.tile = [file.tile[0].__class__("libtiff", size, 0, (raw, False, offset))]
    file.use_load_libtiff = True
