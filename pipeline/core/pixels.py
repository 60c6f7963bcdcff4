"""Conversion between uint8 images, as in files and batches, and float in [-1, 1], as in models."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped, UInt8


def to_float(image: Shaped[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Map uint8 0..255 to float32 [-1, 1]; float images are assumed to be in [-1, 1] already."""
    if jnp.issubdtype(image.dtype, jnp.floating):
        return image.astype(jnp.float32)
    return image.astype(jnp.float32) / 127.5 - 1.0


def to_unit(image: Shaped[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Map either form to float32 [0, 1], the range that distances and figures refer to."""
    return (to_float(image) + 1) / 2


def to_uint8(image: Float[Array, "*shape"]) -> UInt8[Array, "*shape"]:
    """Map [-1, 1] to the nearest of 0..255, clipping values outside."""
    return jnp.clip(jnp.round((image.astype(jnp.float32) + 1.0) * 127.5), 0, 255).astype(jnp.uint8)
