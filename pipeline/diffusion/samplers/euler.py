"""Euler's method for the probability flow dx/dt = d alpha/dt x + d sigma/dt e, of first order."""

from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.diffusion.paths import Path
from pipeline.diffusion.predictions import Split
from pipeline.diffusion.probability_flow import flow


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
    del key
    return x + (t - s) * flow(path, split, x, s), memory
