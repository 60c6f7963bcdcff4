"""Convolutions with random weights, whose features are compared when no trained network is given.

They respond to edges and motion in a fixed random basis, so that a distance of their features falls
as reconstructions improve. It is neither FID nor FVD, and is comparable only with itself.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pipeline.nn.conv import convolve
from pipeline.nn.conv3d import convolve_3d

CHANNELS = (16, 32, 64)
_TIME = 3  # frames per kernel
_SEED = 0


def create(*, is_video: bool) -> dict[str, np.ndarray]:
    """Return normal weights of variance 2 / fan_in, the same each time."""
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
    """Return feature maps of images or clips in [-1, 1].

    Each has half the height and width of the one before, and all frames.
    """
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
