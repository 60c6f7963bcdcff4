"""Heun's method for the probability flow, of second order with two predictions a step."""

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
    first = flow(path, split, x, s)
    second = flow(path, split, x + (t - s) * first, t)
    return x + (t - s) / 2 * (first + second), memory
