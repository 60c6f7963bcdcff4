"""Classifier-free guidance (arXiv 2207.12598): more of what a condition adds to a prediction."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.diffusion.paths.base import over_axes
from pipeline.diffusion.predictions import Predict


def guided(
    conditional: Predict,
    unconditional: Predict,
    scale: float | int,
    *,
    earliest: float = 0.0,
    latest: float = 1.0,
) -> Predict:
    """Return the prediction unconditional + scale (conditional - unconditional).

    A scale of 1 is the conditional prediction itself; the other is then not computed.

    Args:
      earliest: the first time that is guided; before it, the scale is 1 (arXiv 2404.07724).
      latest: the last time that is guided.
    """
    if scale == 1:
        return conditional

    def predict(x_t: Float[Array, "b ..."], t: Float[Array, " b"]) -> Float[Array, "b ..."]:
        wanted, other = conditional(x_t, t), unconditional(x_t, t)
        scales = jnp.where((t >= earliest) & (t <= latest), scale, 1.0)
        return wanted + over_axes(scales - 1, wanted) * (wanted - other)

    return predict
