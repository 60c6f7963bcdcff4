"""Ancestral sampling (arXiv 2006.11239, algorithm 2): a draw from q(x_t | x_s, x) with x predicted.

In continuous time (arXiv 2107.00630, eq. 25 and 26), so that any number of steps is one of the
discrete process. The variance is the posterior's, the smaller of the paper's two choices.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.diffusion.paths import Path
from pipeline.diffusion.predictions import Split
from pipeline.diffusion.samplers import everywhere

HAS_NOISE = True


def START(x: Float[Array, "b ..."]) -> None:
    del x


def step(
    path: Path,
    split: Split,
    x: Float[Array, "b ..."],
    s: Float[Array, ""],
    t: Float[Array, ""],
    memory: None,
    key: PRNGKeyArray,
) -> tuple[Float[Array, "b ..."], None]:
    data = split(x, everywhere(s, x)).data
    scale, variance = path.transition(t, s)  # of the later time s, given the earlier t
    share = variance / jnp.square(path.sigma(s))
    mean = scale * jnp.square(path.sigma(t) / path.sigma(s)) * x + path.alpha(t) * share * data
    deviation = jnp.sqrt(share) * path.sigma(t)
    return mean + deviation * jax.random.normal(key, x.shape, x.dtype), memory
