"""Temporal flicker of clips."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from pipeline.core.pixels import to_unit


def flicker(a: Shaped[Array, "b t h w c"], b: Shaped[Array, "b t h w c"]) -> Float[Array, " b"]:
    """Return the mean |(a[t+1] - a[t]) - (b[t+1] - b[t])|, of values in [0, 1].

    It is 0 where the difference between the clips is the same in each frame. The mean is over pairs
    of frames, pixels and channels; a clip needs at least two frames.
    """
    error = to_unit(a) - to_unit(b)
    return jnp.abs(error[:, 1:] - error[:, :-1]).mean(axis=(1, 2, 3, 4))
