"""The error of the high Haar bands of an image (LiteVAE, arXiv 2405.14477, section 4.3)."""

import jax.numpy as jnp

from pipeline.core.errors import ConfigError
from pipeline.losses.term import Term, Weight, recon_and_target, sum_of_example
from pipeline.nn.wavelet import haar_pyramid

_LEVELS = 3


def haar_bands(
    *,
    weight: Weight = 1.0,
    levels: int = _LEVELS,
    eps: float | int = 1e-3,
    where: str = "objective.haar_bands",
) -> Term:
    """Return the sum of sqrt((a - b)^2 + eps^2) - eps over the high bands of all levels.

    The transform is orthonormal, and leaves out the low band of the last level. Height and width
    must be multiples of 2^levels.

    levels: of the Haar pyramid. eps: error below which the loss is quadratic (Charbonnier).
    """
    if levels < 1 or eps <= 0:
        raise ConfigError(f"{where}: levels={levels} must be 1 or more and eps={eps} above 0")

    def value(outputs, batch, step, frozen):
        recon, x = recon_and_target(outputs, batch)
        channels, error = x.shape[-1], jnp.float32(0)
        for bands in haar_pyramid(recon - x, levels):
            high = bands[..., channels:]
            error += sum_of_example(jnp.sqrt(jnp.square(high) + eps**2) - eps)
        return error

    return Term(value, weight, log_name="haar_bands", likelihood=True)
