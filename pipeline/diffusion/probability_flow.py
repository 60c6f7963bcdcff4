"""The probability flow: the differential equation whose solutions have the path's marginals.

dx/dt = d alpha/dt x + d sigma/dt e, with the predicted parts of x_t (arXiv 2011.13456, eq. 13).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.diffusion.paths import Path
from pipeline.diffusion.predictions import Split


def flow(
    path: Path, split: Split, x: Float[Array, "b ..."], t: Float[Array, ""]
) -> Float[Array, "b ..."]:
    """Return dx/dt of a batch at one time."""
    data, noise = split(x, jnp.full((len(x),), t, jnp.float32))
    return path.alpha_rate(t) * data + path.sigma_rate(t) * noise
