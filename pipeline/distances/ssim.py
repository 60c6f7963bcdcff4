"""Structural similarity of images (SSIM, Wang et al. 2004)."""

import dm_pix
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from pipeline.core.pixels import to_unit


def ssim(a: Shaped[Array, "b h w c"], b: Shaped[Array, "b h w c"]) -> Float[Array, " b"]:
    """Return SSIM with a Gaussian window of 11 pixels, sigma 1.5, K1 = 0.01 and K2 = 0.03.

    Only windows that lie inside the image count, and the channels of a colour image are averaged,
    as in dm-pix and tf.image; torchmetrics pads by reflection and gives other figures. For an image
    less than 11 pixels high or wide the window is the largest odd size that fits.
    """
    window = min(11, a.shape[1], a.shape[2])
    return jnp.asarray(dm_pix.ssim(to_unit(a), to_unit(b), filter_size=window - 1 + window % 2))
