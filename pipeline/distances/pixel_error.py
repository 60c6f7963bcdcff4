"""Mean squared error and peak signal-to-noise ratio of images."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from pipeline.core.pixels import to_unit

MAX_PSNR = 100.0


def mse(a: Shaped[Array, "b h w c"], b: Shaped[Array, "b h w c"]) -> Float[Array, " b"]:
    """Return the mean squared error over pixels and channels, of values in [0, 1]."""
    return jnp.square(to_unit(a) - to_unit(b)).mean(axis=(1, 2, 3))


def psnr(a: Shaped[Array, "b h w c"], b: Shaped[Array, "b h w c"]) -> Float[Array, " b"]:
    """Return -10 log10(mse) in dB, the peak being the whole range; 100 dB for equal images."""
    return -10 * jnp.log10(jnp.maximum(mse(a, b), 10 ** (-MAX_PSNR / 10)))
