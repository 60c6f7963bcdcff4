"""Converts images from the colour space of their ICC profile to sRGB, with LittleCMS.

Profiles of RGB, grey and CMYK are applied with the perceptual intent, as in browsers. A profile
that maps every colour to within 2 of 255 of itself counts as sRGB: such images, most of those with
a profile, are left exactly as they are.
"""

import functools
import io
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageCms

# A profile's colour space -> the mode in which pixels are given to LittleCMS.
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_SAME = 2  # levels of 255
_STEPS = 9  # levels of each channel that are compared


class _Conversion(NamedTuple):
    """A profile's name, its mode, and the transform to sRGB; None if it changes nothing."""

    name: str
    mode: str
    transform: ImageCms.ImageCmsTransform | None


def to_srgb(image: Image.Image, profile: object, remarks: list[str]) -> Image.Image:
    """Return an image without alpha in sRGB, given the content of its ICC profile.

    A remark says that a profile was applied, or why it could not be: it is damaged, or has the
    colours of another kind of image. Those images are returned as they are. Thread-safe.
    """
    try:
        if not isinstance(profile, bytes):
            raise ValueError("it is not complete")
        conversion = _conversion(profile)
    except (OSError, ValueError, ImageCms.PyCMSError):
        remarks.append("its colour profile is damaged and was ignored")
        return image
    if conversion.transform is None:
        return image
    image = _for_profile(image, conversion.mode)
    if image.mode != conversion.mode:
        remarks.append(
            f"its colour profile {conversion.name} is of {_words(conversion.mode)}, "
            f"not of {_words(image.mode)}, and was ignored"
        )
        return image
    remarks.append(f"colours converted from {conversion.name} to sRGB")
    return conversion.transform.apply(image)


def _for_profile(image: Image.Image, mode: str) -> Image.Image:
    """Return an image in the mode of a profile if that loses nothing, otherwise unchanged."""
    if image.mode == "1":
        image = image.convert("L")
    # Grey is a colour as well, and many grey files have the profile of the editor's workspace.
    if mode == "RGB" and image.mode in ("L", "P", "YCbCr"):
        return image.convert("RGB")
    return image


def _words(mode: str) -> str:
    return "grey" if mode == "L" else mode


@functools.lru_cache(maxsize=32)
def _conversion(profile: bytes) -> _Conversion:
    """Return the conversion of a profile to sRGB; building one takes milliseconds.

    Raises:
      OSError, ValueError, ImageCms.PyCMSError: the profile is damaged, or of another kind.
    """
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    header: Any = source.profile
    mode = _MODES.get(header.xcolor_space.strip(), "")
    if not mode:
        raise ValueError("a colour space that no image has")
    name = " ".join(ImageCms.getProfileDescription(source).split()) or "an unnamed profile"
    target = ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(source, target, mode, "RGB")
    return _Conversion(name[:60], mode, None if _changes_nothing(transform, mode) else transform)


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    if mode == "CMYK":
        return False
    levels = np.linspace(0, 255, _STEPS if mode == "RGB" else 256).round().astype(np.uint8)
    if mode == "RGB":
        colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    else:
        colours = levels[None]
    converted = np.asarray(transform.apply(Image.fromarray(colours)), np.int16)
    return int(np.abs(converted - colours.reshape(1, len(colours[0]), -1)).max()) <= _SAME
