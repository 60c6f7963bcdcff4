"""Converts a decoded video frame of any colour format and bit depth to 8-bit RGB.

Range and colour matrix follow the frame's tags. Without a tag, as in players, the matrix is BT.709
for HD and BT.601 for SD. Transparency is composited on white, as in images. High dynamic range is
not mapped.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import UInt8

_UNSPECIFIED = 2  # H.273's code of a colour matrix
# Matrices that swscale converts, by their codes: RGB, BT.709, FCC, BT.601 (two), SMPTE 240M and
# BT.2020.
_KNOWN = (0, 1, 4, 5, 6, 7, 9)
_LARGEST_SD = (1279, 576)  # width, height: players assume BT.709 for larger frames without a tag
_HDR = (16, 18)  # transfer characteristics: SMPTE 2084 (PQ) and ARIB STD-B67 (HLG)
_WITH_ALPHA = ("yuva", "argb", "abgr", "rgba", "bgra", "gbrap", "ya8", "ya16", "ayuv", "vuya")
_WITH_ALPHA += ("pal8",)


def to_rgb(
    frame: Any,
    height: int,
    width: int,
    *,
    threads: int = 0,
    remark: Callable[[str], None] = lambda text: None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a frame of PyAV as RGB of this size, in its stored orientation; shrinking averages.

    Args:
      threads: number of threads of the conversion; 0 uses one per core.
      remark: called with what the user should know of the conversion.

    Raises:
      av.error.FFmpegError, ValueError: the colour format cannot be converted.
    """
    options: dict[str, Any] = {"format": "rgb24", "threads": threads}
    matrix = frame.colorspace
    if matrix == _UNSPECIFIED or matrix not in _KNOWN:
        options |= _assumed(frame, remark)
    if frame.color_trc in _HDR:
        remark("high dynamic range, read as if it were BT.709")
    if _has_alpha(frame.format.name):
        frame = _on_white(frame, options, remark)
    if (height, width) != (frame.height, frame.width):
        options |= {"height": height, "width": width, "interpolation": _interpolation()}
    return frame.to_ndarray(**options)


def _assumed(frame: Any, remark: Callable[[str], None]) -> dict[str, Any]:
    """Return the colour matrix to assume for a frame that has none, or one that is not known."""
    if frame.format.is_rgb or frame.format.name == "pal8":
        return {}
    from av.video.reformatter import Colorspace

    large = frame.width > _LARGEST_SD[0] or frame.height > _LARGEST_SD[1]
    if frame.colorspace != _UNSPECIFIED:
        name = "BT.709" if large else "BT.601"
        remark(f"colour matrix {frame.colorspace} is not supported, read as if it were {name}")
        return {"src_colorspace": Colorspace.ITU709 if large else Colorspace.ITU601}
    return {"src_colorspace": Colorspace.ITU709} if large else {}


@functools.cache
def _has_alpha(format_name: str) -> bool:
    return format_name.startswith(_WITH_ALPHA)


def _on_white(frame: Any, options: dict[str, Any], remark: Callable[[str], None]) -> Any:
    """Return the frame on white; itself if nothing in it is transparent."""
    pixels = frame.to_ndarray(**options | {"format": "rgba"})
    alpha = pixels[:, :, 3:].astype(np.uint16)
    if alpha.min() == 255:
        return frame
    import av

    remark("transparency on white")
    options.pop("src_colorspace", None)
    mixed = (pixels[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return av.VideoFrame.from_ndarray(mixed.astype(np.uint8), format="rgb24")


@functools.cache
def _interpolation() -> Any:
    from av.video.reformatter import Interpolation

    # Bicubic widens its kernel when it shrinks, which prevents aliasing; the other flags keep
    # rounding from darkening the image.
    return Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
