"""Fixed positions of a grid of patches: sines and cosines (arXiv 1706.03762, section 3.5)."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def sincos_grid(
    height: int, width: int, channels: int, *, extent: float | int | None = None
) -> Float[Array, "h w c"]:
    """Return sines and cosines of the column in the first half of the channels, then of the row.

    Frequencies fall from 1 to nearly 1/10,000. MAE (arXiv 2111.06377) and ViT-VQGAN have this
    order. With `extent`, positions along each axis are scaled to run from 0 to below it, whatever
    the size of the grid; else they are the numbers of rows and columns.
    """
    frequencies = 10_000.0 ** -(np.arange(channels // 4) / (channels // 4))

    def waves(length: int) -> np.ndarray:
        places = np.arange(length) * (1 if extent is None else extent / length)
        angles = np.outer(places, frequencies)
        return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)

    columns = np.broadcast_to(waves(width)[None], (height, width, channels // 2))
    rows = np.broadcast_to(waves(height)[:, None], (height, width, channels // 2))
    return jnp.asarray(np.concatenate([columns, rows], axis=-1), jnp.float32)
