"""The two forms of an image: uint8 in files and batches, float in [-1, 1] inside models."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped, UInt8


def to_float(image: Shaped[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Maps uint8 0..255 to float32 [-1, 1]; a float image is taken to be in [-1, 1] already."""
    if jnp.issubdtype(image.dtype, jnp.floating):
        return image.astype(jnp.float32)
    return image.astype(jnp.float32) / 127.5 - 1.0


def to_unit(image: Shaped[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Map either form to float32 [0, 1], the range that distances and figures refer to."""
    return (to_float(image) + 1) / 2


def to_uint8(image: Float[Array, "*shape"]) -> UInt8[Array, "*shape"]:
    """Maps [-1, 1] to the nearest of 0..255; values outside are clipped."""
    return jnp.clip(jnp.round((image.astype(jnp.float32) + 1.0) * 127.5), 0, 255).astype(jnp.uint8)
