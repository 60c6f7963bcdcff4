"""TensorFlow 1's bilinear resize, with which FID and FVD scale images to a network's size."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def bilinear(x: Float[Array, "n *t h w c"], size: int) -> Float[Array, "n *t size size c"]:
    """Resize to size x size; pixel i lies at i * (old size / new size) in the input.

    The first pixels of both images coincide, and not their corners as in torch and in TensorFlow 2.
    Downscaling does not average: only the two neighbors of each position are used.
    """
    for axis in (x.ndim - 3, x.ndim - 2):
        x = _along(x, size, axis)
    return x


def _along(x: Array, size: int, axis: int) -> Array:
    old = x.shape[axis]
    if old == size:
        return x
    where = np.arange(size, dtype=np.float32) * np.float32(old / size)
    low = np.floor(where).astype(np.int32)
    share = jnp.asarray((where - low).reshape(-1, *[1] * (x.ndim - axis - 1)))
    lower, upper = jnp.take(x, low, axis), jnp.take(x, np.minimum(low + 1, old - 1), axis)
    return lower + (upper - lower) * share
