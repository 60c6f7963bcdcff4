"""Distances between images, and between clips: one value an example, for losses and metrics alike.

Images are uint8, or float in [-1, 1]; both are brought to [0, 1], the range that every figure here refers to.
"""

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Shaped

from pipeline.core.errors import DataError
from pipeline.core.pixels import to_float

MAX_PSNR = 100.0
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_LEAST_SIMILARITY = 1e-4  # below which MS-SSIM's gradient grows no further


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


def ms_ssim_scales(height: int, width: int) -> int:
    """How many of MS-SSIM's five scales have room for its window of 11 pixels: five above 160, none below 11."""
    side, scales = min(height, width), 0
    while side >= 11 and scales < len(MS_SSIM_WEIGHTS):
        side, scales = (side + 1) // 2, scales + 1
    return scales


def ms_ssim_name(scales: int) -> str:
    """ "ms_ssim" with all five scales; with fewer it is another measure, and its name says so: "ms_ssim_3_scales"."""
    return "ms_ssim" if scales == len(MS_SSIM_WEIGHTS) else f"ms_ssim_{scales}_scales"


def ms_ssim(
    a: Shaped[Array, "b h w c"], b: Shaped[Array, "b h w c"], scales: int = 5
) -> Float[Array, " b"]:
    """Multi-scale structural similarity (Wang et al. 2003), with their five weights and the window of `ssim`.

    Contrast and structure at each of five scales, and luminance at the coarsest, to the power of the weights; negative
    ones count as 0, and the channels of a colour image are averaged last. Scales are means of 2x2 pixels; an odd
    height or width gets its last row or column twice, as in the authors' code. With fewer `scales` it is another
    measure, which must not be called MS-SSIM alone: the finest ones, their weights divided by their sum.

    Its gradient is finite everywhere, also where a similarity is 0 or below: see `_power`.

    Raises:
      DataError: images whose coarsest scale has no room for a window; all five need more than 160 pixels each way.
    """
    height, width = a.shape[1:3]
    if ms_ssim_scales(height, width) < scales:
        raise DataError(
            f"MS-SSIM of {scales} scales needs {10 * 2 ** (scales - 1) + 1} pixels each way or more, and the images "
            f"are {height}x{width}"
        )
    weights = np.array(MS_SSIM_WEIGHTS[:scales])
    x, y = _unit(a), _unit(b)
    total = jnp.ones((), jnp.float32)
    for scale, weight in enumerate(
        weights / weights.sum() if scales < len(MS_SSIM_WEIGHTS) else weights
    ):
        if scale:
            x, y = _halved(x), _halved(y)
        luminance, structure = _similarity(x, y)
        similarity = (luminance * structure if scale == scales - 1 else structure).mean(axis=(1, 2))
        total = total * _power(similarity, float(weight))
    return total.mean(axis=-1)


def flicker(a: Shaped[Array, "b t h w c"], b: Shaped[Array, "b t h w c"]) -> Float[Array, " b"]:
    """Temporal flicker error of clips: mean |(a[t+1] - a[t]) - (b[t+1] - b[t])|, of values in [0, 1].

    0 where all that differs is the same in each frame. The mean is over pairs of frames, pixels and channels;
    a clip has two frames or more.
    """
    error = _unit(a) - _unit(b)
    return jnp.abs(error[:, 1:] - error[:, :-1]).mean(axis=(1, 2, 3, 4))


def _similarity(x: Array, y: Array) -> tuple[Float[Array, "b h2 w2 c"], Float[Array, "b h2 w2 c"]]:
    """Luminance, and contrast and structure, of each window that lies inside."""
    # Blurred together: a fifth of the operations to compile.
    mean_x, mean_y, of_x, of_y, of_both = jnp.split(
        _blurred(jnp.concatenate([x, y, x * x, y * y, x * y])), 5
    )
    variances = of_x - mean_x**2 + of_y - mean_y**2
    covariance = of_both - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
    return luminance, (2 * covariance + 0.03**2) / (variances + 0.03**2)


def _power(similarity: Float[Array, "b c"], weight: float) -> Float[Array, "b c"]:
    """similarity ** weight, 0 for what is negative; with the slope that it has at 1e-4 for all that is below.

    The slope of the power itself has no bound near 0, times relu's it is NaN there, and a loss would neither raise a
    similarity below 0 nor survive it.
    """
    fixed = lax.stop_gradient(similarity)
    slope = weight * jnp.maximum(fixed, _LEAST_SIMILARITY) ** (weight - 1)
    return jax.nn.relu(fixed) ** weight + slope * (similarity - fixed)


def _blurred(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """By the Gaussian window of 11 pixels, sigma 1.5, without a border."""
    window = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = (window / window.sum()).astype(np.float32)
    for axis in (1, 2):
        length = x.shape[axis] - len(window) + 1
        x = sum(
            (
                lax.slice_in_dim(x, start, start + length, axis=axis) * tap
                for start, tap in enumerate(window)
            ),
            jnp.zeros((), jnp.float32),
        )
    return x


def _halved(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    b, h, w, c = x.shape
    x = jnp.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), mode="edge")
    return x.reshape(b, (h + 1) // 2, 2, (w + 1) // 2, 2, c).mean(axis=(2, 4))


def _unit(image: Shaped[Array, "*shape"]) -> Float[Array, "*shape"]:
    return (to_float(image) + 1) / 2
