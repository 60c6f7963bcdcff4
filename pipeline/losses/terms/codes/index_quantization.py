"""The error between vectors and codes whose choice has a gradient (IBQ, arXiv 2412.02692, eq. 6).

The whole loss of IBQ is this and `quantization_swapped`.
"""

import jax.numpy as jnp

from pipeline.losses.code_error import array_of, mean_per_frame
from pipeline.losses.term import Term, Weight


def index_quantization(
    *, weight: Weight = 1.0, where: str = "objective.index_quantization"
) -> Term:
    """Return |x - code|^2, a mean over the elements of the latents, with the gradient of both."""

    def value(outputs, batch, step, frozen):
        (x,) = array_of(outputs, "vectors", where)
        codes = array_of(outputs, "soft_codes", where)
        return mean_per_frame(jnp.square(codes - x), batch)

    return Term(value, weight, log_name="index_quantization", per_value=True)
