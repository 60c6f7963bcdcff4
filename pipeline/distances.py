"""Distances between images: one value an example, for losses and metrics alike.

Images are uint8, or float in [-1, 1]; both are brought to [0, 1], the range that every figure here refers to.
"""

import dm_pix
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from pipeline.pixels import to_float

MAX_PSNR = 100.0


def mse(a: Shaped[Array, "b h w c"], b: Shaped[Array, "b h w c"]) -> Float[Array, " b"]:
    """Mean squared error over an image's pixels and channels, of values in [0, 1]."""
    return jnp.square(_unit(a) - _unit(b)).mean(axis=(1, 2, 3))


def psnr(a: Shaped[Array, "b h w c"], b: Shaped[Array, "b h w c"]) -> Float[Array, " b"]:
    """Peak signal-to-noise ratio, -10 log10(mse) dB, the peak being the whole range; 100 if equal."""
    return -10 * jnp.log10(jnp.maximum(mse(a, b), 10 ** (-MAX_PSNR / 10)))


def ssim(a: Shaped[Array, "b h w c"], b: Shaped[Array, "b h w c"]) -> Float[Array, " b"]:
    """Structural similarity (Wang et al. 2004): Gaussian window of 11 pixels, sigma 1.5; K 0.01 and 0.03.

    Only windows that lie wholly inside count, and the channels of a colour image are averaged, as in dm-pix
    and tf.image; torchmetrics pads by reflection and gives other figures. On an image less than 11 pixels
    high or wide the window is the largest odd size that fits.
    """
    window = min(11, a.shape[1], a.shape[2])
    return jnp.asarray(dm_pix.ssim(_unit(a), _unit(b), filter_size=window - 1 + window % 2))


def _unit(image: Shaped[Array, "*shape"]) -> Float[Array, "*shape"]:
    return (to_float(image) + 1) / 2
