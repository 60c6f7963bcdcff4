"""Convolutions with random weights, as a network to compare features with where no file of a trained one is given.

They see edges and motion in a fixed random basis, so that a distance of their features falls as reconstructions get
better. It is no FID or FVD, and compares with itself alone.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pipeline.nn.conv import convolve
from pipeline.nn.conv3d import convolve_3d

CHANNELS = (16, 32, 64)
_TIME = 3  # frames that a kernel sees
_SEED = 0


def create(*, is_video: bool) -> dict[str, np.ndarray]:
    """The same weights each time: normal ones, of variance 2 / (values that a kernel sees)."""
    rng, weights, width = np.random.default_rng(_SEED), {}, 3
    for number, out in enumerate(CHANNELS):
        shape = (*([_TIME] if is_video else []), 3, 3, width, out)
        scale = (2 / np.prod(shape[:-1])) ** 0.5
        weights[f"{number}.kernel"] = (scale * rng.standard_normal(shape)).astype(np.float32)
        width = out
    return weights


def features(
    weights: Mapping[str, Array], x: Float[Array, "n *t h w 3"]
) -> tuple[Float[Array, "n *t2 h2 w2 _"], ...]:
    """Maps of images or clips in [-1, 1], each of half the height and width of the one before, and of all frames."""
    maps = []
    for number in range(len(CHANNELS)):
        kernel = weights[f"{number}.kernel"]
        if x.ndim == 4:
            x = convolve(x, kernel, 2)
        else:
            ends = [(0, 0), (_TIME // 2, _TIME // 2), (0, 0), (0, 0), (0, 0)]
            x = convolve_3d(jnp.pad(x, ends, mode="edge"), kernel, (1, 2, 2))
        x = jax.nn.relu(x)
        maps.append(x)
    return tuple(maps)
