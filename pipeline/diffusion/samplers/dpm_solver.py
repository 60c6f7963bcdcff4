"""DPM-Solver++(2M) (arXiv 2211.01095, algorithm 2): second order, one prediction a step.

It steps exactly in the linear part of the flow, in the time l = log(alpha / sigma), and takes the
data's change from the step before. The first step is of first order, and so is one to sigma = 0,
where l is infinite.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.diffusion.paths import Path
from pipeline.diffusion.predictions import Split
from pipeline.diffusion.samplers import everywhere


class Before(NamedTuple):
    """The data that the step before predicted, and its step in l; 0 for none."""

    data: Float[Array, "b ..."]
    length: Float[Array, ""]


def START(x: Float[Array, "b ..."]) -> Before:
    return Before(jnp.zeros_like(x), jnp.zeros(()))


def step(
    path: Path,
    split: Split,
    x: Float[Array, "b ..."],
    s: Float[Array, ""],
    t: Float[Array, ""],
    memory: Before,
    key: PRNGKeyArray,
) -> tuple[Float[Array, "b ..."], Before]:
    del key
    data = split(x, everywhere(s, x)).data
    length = (path.log_snr(t) - path.log_snr(s)) / 2
    second = (memory.length != 0) & jnp.isfinite(length)
    ratio = jnp.where(second, length / jnp.where(second, memory.length, 1.0), 0.0)
    ahead = data + ratio / 2 * (data - memory.data)
    # exp(-length) is sigma(t) alpha(s) / (alpha(t) sigma(s)), also at sigma(t) = 0.
    shrink = path.sigma(t) / path.sigma(s)
    factor = path.alpha(t) - shrink * path.alpha(s)
    return shrink * x + factor * ahead, Before(data, length)
