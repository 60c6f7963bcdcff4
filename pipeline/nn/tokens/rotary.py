"""Rotary positions of patches in an image (arXiv 2104.09864), by axis as in DINOv3 (2508.10104).

Patch centers have coordinates in [-1, 1] along each axis, whatever the size of the image. A quarter
of a head's channels turns with the row and a quarter with the column, at periods from 1 to `base`;
the other half of the channels are their partners in the rotation.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# Cosines and sines of the angles of each patch.
Turns = tuple[Float[Array, "patches turned"], Float[Array, "patches turned"]]


def turns(height: int, width: int, channels: int, *, base: float = 100.0) -> Turns:
    """Return the rotations of `height` x `width` patches for heads of so many channels, a multiple
    of 4.
    """
    periods = np.float64(base) ** np.arange(0, 1, 4 / channels)
    rows, columns = (2 * (np.arange(size) + 0.5) / size - 1 for size in (height, width))
    places = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2, 1)
    angles = np.tile((2 * np.pi * places / periods).reshape(len(places), -1), 2)
    return jnp.asarray(np.cos(angles), jnp.float32), jnp.asarray(np.sin(angles), jnp.float32)


def turned(x: Float[Array, "b n h c"], by: Turns) -> Float[Array, "b n h c"]:
    """Return queries or keys of h heads, with the last tokens, those of patches, rotated."""
    cosines, sines = (each[:, None] for each in by)
    others = x.shape[1] - len(cosines)
    patches = x[:, others:]
    low, high = jnp.split(patches.astype(jnp.float32), 2, axis=-1)
    rotated = jnp.concatenate([-high, low], axis=-1)
    patches = (patches * cosines + rotated * sines).astype(x.dtype)
    return jnp.concatenate([x[:, :others], patches], axis=1) if others else patches
