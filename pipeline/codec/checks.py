"""Checks of the type and values of a codec's inputs."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from pipeline.core.errors import DataError


def checked_images(images: Any, channels: int, *, is_video: bool) -> Any:
    """Return a batch of images [b h w c] or clips [b t h w c] if its shape and values fit a codec.

    Raises:
      DataError: they do not.
    """
    shape, dtype = getattr(images, "shape", None), getattr(images, "dtype", None)
    letters = "batch frames height width" if is_video else "batch height width"
    expected = f"[{letters} {channels}]"
    if shape is None or dtype is None:
        raise DataError(f"encode takes an array {expected}, not {type(images).__name__}")
    if len(shape) != 4 + is_video or shape[-1] != channels or 0 in shape:
        is_image = is_video and len(shape) == 4
        advice = "; one image is a clip of one frame, images[:, None]" if is_image else ""
        raise DataError(f"images have shape {list(shape)}, and this codec takes {expected}{advice}")
    return checked_values(images)


def checked_batch_of_latents(z: Any, channels: int, *, is_video: bool) -> Any:
    """Return latents [b h w d] or [b t h w d], also from a tuple of one, if a codec takes them.

    Raises:
      DataError: it does not.
    """
    (z,) = z if isinstance(z, tuple | list) and len(z) == 1 else (z,)
    shape = getattr(z, "shape", None)
    letters = "batch frames height width" if is_video else "batch height width"
    if shape is None or len(shape) != 4 + is_video or shape[-1] != channels or 0 in shape:
        found = type(z).__name__ if shape is None else list(shape)
        raise DataError(f"latents are {found}, and this codec takes [{letters} {channels}]")
    return checked_latents(z)


def checked_values(images: Any) -> Any:
    """Return the images if they are uint8, or float in [-1, 1]. Raises DataError where they are
    not.
    """
    dtype = images.dtype
    if str(dtype) != "uint8" and "float" not in str(dtype):
        raise DataError(f"images are {dtype}, but must be uint8, or float in [-1, 1]")
    # Under a caller's jit there are no values to check.
    traced = isinstance(images, Tracer)
    if str(dtype) != "uint8" and not traced and not float(jnp.abs(images).max()) <= 1.001:
        raise DataError(
            "images are float with values outside of [-1, 1]: give uint8, or float in [-1, 1]"
        )
    return images


def checked_latents(z: Any, what: str = "latents") -> Any:
    """Return latents if they are float and finite; `what` names them. Raises DataError if not."""
    dtype = z.dtype
    if "float" not in str(dtype):
        raise DataError(f"{what} are {dtype}, but must be float, as encode gives them")
    return checked_finite(z, what)


def checked_finite(values: Any, what: str) -> Any:
    """Return numbers if they are finite; `what` names them. Raises DataError if not."""
    # Under a caller's jit there are no values to check.
    if not isinstance(values, Tracer) and not _is_finite(values):
        raise DataError(f"{what} have values that are NaN or infinite")
    return values


def _is_finite(z: Any) -> bool:
    """Return whether all values are finite in float32, in which a codec decodes."""
    if not isinstance(z, np.ndarray):
        return bool(jnp.isfinite(jnp.asarray(z, jnp.float32)).all())
    with np.errstate(over="ignore"):
        return bool(np.isfinite(z.astype(np.float32, copy=False)).all())
