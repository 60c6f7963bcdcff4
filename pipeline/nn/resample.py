"""Changing the resolution of feature maps [b h w c] by a whole factor."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def average_pool(x: Float[Array, "b h w c"], factor: int) -> Float[Array, "b h2 w2 c"]:
    """Means over `factor` x `factor` cells; height and width must be multiples of it."""
    b, h, w, c = x.shape
    return x.reshape(b, h // factor, factor, w // factor, factor, c).mean(axis=(2, 4))


def nearest_upsample(x: Float[Array, "b h w c"], factor: int) -> Float[Array, "b h2 w2 c"]:
    """Repeats each pixel `factor` times both ways.

    jnp.repeat keeps a sharding over height, which jax.image.resize loses.
    """
    return jnp.repeat(jnp.repeat(x, factor, axis=1), factor, axis=2)
