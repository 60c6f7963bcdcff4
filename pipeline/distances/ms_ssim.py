"""Multi-scale structural similarity of images (MS-SSIM, Wang et al. 2003)."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Shaped

from pipeline.core.errors import DataError
from pipeline.core.pixels import to_unit

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_LEAST_SIMILARITY = 1e-4  # Below it the gradient grows no further.


def num_scales(height: int, width: int) -> int:
    """Return how many of the five scales have room for a window of 11 pixels.

    All five need more than 160 pixels each way; below 11 pixels there are none.
    """
    side, scales = min(height, width), 0
    while side >= 11 and scales < len(WEIGHTS):
        side, scales = (side + 1) // 2, scales + 1
    return scales


def name_of(scales: int) -> str:
    """Return "ms_ssim" for all five scales and, for example, "ms_ssim_3_scales" for three.

    With fewer scales it is another measure, and its name says so.
    """
    return "ms_ssim" if scales == len(WEIGHTS) else f"ms_ssim_{scales}_scales"


def ms_ssim(
    a: Shaped[Array, "b h w c"], b: Shaped[Array, "b h w c"], scales: int = 5
) -> Float[Array, " b"]:
    """Return MS-SSIM with the authors' five weights and the window of `ssim`.

    It multiplies contrast and structure at each of five scales, and luminance at the coarsest, each
    to the power of its weight. Negative values count as 0, and the channels of a colour image are
    averaged last. Scales are means of 2x2 pixels; an odd height or width repeats its last row or
    column, as in the authors' code. With fewer `scales` it is another measure, which must not be
    called MS-SSIM alone: the finest scales, with their weights divided by their sum.

    The gradient is finite everywhere, also where a similarity is 0 or below (`_power`).

    Raises:
      DataError: the coarsest scale has no room for a window.
    """
    height, width = a.shape[1:3]
    if num_scales(height, width) < scales:
        raise DataError(
            f"MS-SSIM of {scales} scales needs {10 * 2 ** (scales - 1) + 1} pixels each way or "
            f"more, and the images are {height}x{width}"
        )
    weights = np.array(WEIGHTS[:scales])
    x, y = to_unit(a), to_unit(b)
    total = jnp.ones((), jnp.float32)
    for scale, weight in enumerate(weights / weights.sum() if scales < len(WEIGHTS) else weights):
        if scale:
            x, y = _halve(x), _halve(y)
        luminance, structure = _similarity(x, y)
        similarity = (luminance * structure if scale == scales - 1 else structure).mean(axis=(1, 2))
        total = total * _power(similarity, float(weight))
    return total.mean(axis=-1)


def _similarity(x: Array, y: Array) -> tuple[Float[Array, "b h2 w2 c"], Float[Array, "b h2 w2 c"]]:
    """Return luminance, and contrast times structure, of each window that lies inside."""
    # Blurred together: a fifth of the operations to compile.
    mean_x, mean_y, of_x, of_y, of_both = jnp.split(
        _blur(jnp.concatenate([x, y, x * x, y * y, x * y])), 5
    )
    variances = of_x - mean_x**2 + of_y - mean_y**2
    covariance = of_both - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
    return luminance, (2 * covariance + 0.03**2) / (variances + 0.03**2)


def _power(similarity: Float[Array, "b c"], weight: float) -> Float[Array, "b c"]:
    """Return similarity ** weight, and 0 for negative values; below 1e-4 its slope stays constant.

    The slope of the power is unbounded near 0 and, multiplied by relu's, NaN at 0: a loss would
    neither raise a similarity below 0 nor survive it.
    """
    fixed = lax.stop_gradient(similarity)
    slope = weight * jnp.maximum(fixed, _LEAST_SIMILARITY) ** (weight - 1)
    return jax.nn.relu(fixed) ** weight + slope * (similarity - fixed)


def _blur(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """Convolve with the Gaussian window of 11 pixels, sigma 1.5, without padding."""
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


def _halve(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    b, h, w, c = x.shape
    x = jnp.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), mode="edge")
    return x.reshape(b, (h + 1) // 2, 2, (w + 1) // 2, 2, c).mean(axis=(2, 4))
