"""DDIM without noise (arXiv 2010.02502, eq. 12 with sigma = 0): exact where x and e are constant.

With rising times it inverts an image to the noise from which it is sampled.
"""

from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.diffusion.paths import Path
from pipeline.diffusion.predictions import Split
from pipeline.diffusion.samplers import everywhere


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
    data, noise = split(x, everywhere(s, x))
    return path.alpha(t) * data + path.sigma(t) * noise, memory
