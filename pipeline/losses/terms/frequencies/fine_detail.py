"""The error of what a Gaussian blur removes (LiteVAE, arXiv 2405.14477, section 4.3)."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.losses.term import Term, Weight, recon_and_target, sum_of_example


def fine_detail(
    *, weight: Weight = 0.5, deviation: float | int = 1.0, where: str = "objective.fine_detail"
) -> Term:
    """Return the sum of |d - blur(d)| of the error d = recon - x.

    The paper names a high-frequency loss by a Gaussian filter without its width, which is ours.

    deviation: of the Gaussian, in pixels.
    """
    if deviation <= 0:
        raise ConfigError(f"{where}.deviation={deviation} must be above 0")

    def value(outputs, batch, step, frozen):
        recon, x = recon_and_target(outputs, batch)
        error = recon - x
        return sum_of_example(jnp.abs(error - blur(error, deviation)))

    return Term(value, weight, log_name="fine_detail", likelihood=True)


def blur(x: Float[Array, "b *t h w c"], deviation: float | int) -> Float[Array, "b *t h w c"]:
    """Return x blurred by a Gaussian of three deviations each way; edge pixels extend outward."""
    for axis in (x.ndim - 3, x.ndim - 2):
        x = _blur_axis(x, axis, deviation)
    return x


def _blur_axis(x: Array, axis: int, deviation: float | int) -> Array:
    radius = max(1, round(3 * deviation))
    weights = np.exp(-0.5 * np.square(np.arange(-radius, radius + 1) / deviation))
    padding = [(radius, radius) if a == axis else (0, 0) for a in range(x.ndim)]
    padded, size = jnp.pad(x, padding, mode="edge"), x.shape[axis]
    shifted = [lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(len(weights))]
    return jnp.stack(shifted, axis=-1) @ jnp.asarray(weights / weights.sum(), x.dtype)
