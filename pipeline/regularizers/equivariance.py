"""Equivariance of latents to scaling and rotation (EQ-VAE, arXiv 2502.09509, eq. 5).

In a share of the steps the decoder gets the latents scaled down and rotated, and is to give the
images scaled down and rotated likewise. Every loss of the recipe then compares those two, also the
discriminator.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pipeline.core.errors import ConfigError
from pipeline.regularizers.base import Regularizer

Map = Float[Array, "b *t h w c"]
Changed = Float[Array, "b *t _ _ c"]
_UNCHANGED = "1"


def equivariance(
    *,
    probability: float = 0.5,
    scales: Sequence[float] = (0.25, 0.5, 0.75),
    rotate: bool = True,
    where: str = "regularizers.equivariance",
) -> Regularizer:
    """Return the regularizer; all examples of a batch have the same scale and rotation.

    As in the authors' code an image that is changed is both scaled and rotated by 90, 180 or 270
    degrees. We deviate in the number of scales: theirs are s/32 for s from 8 to 31, and each is a
    program to compile here.

    probability: share of the steps whose latents are changed. scales: factors of height and width
    that are drawn from, resized bilinearly without antialiasing. rotate: whether to rotate, which
    needs square images.
    """
    scales = tuple(scales)
    if not 0 <= probability <= 1:
        raise ConfigError(f"{where}.probability={probability} must be from 0 to 1")
    if not scales or not all(0 < scale <= 1 for scale in scales):
        raise ConfigError(f"{where}.scales={scales} must be numbers above 0 and at most 1")
    texts = tuple(f"{scale:g}x" for scale in scales)

    def choose(seed: int, step: int) -> str:
        rng = np.random.default_rng((seed & 0xFFFFFFFF, step, 0x6571))
        return texts[rng.integers(len(texts))] if rng.random() < probability else _UNCHANGED

    def change(x: Map, key: Array, choice: str) -> Changed:
        if choice in ("", _UNCHANGED):
            return x
        turns = jax.random.randint(key, (), 1, 4) if rotate else jnp.zeros((), jnp.int32)
        return transform(x, scale=scales[texts.index(choice)], turns=turns if rotate else None)

    return Regularizer(
        latents=lambda z, key, params, choice: change(z, key, choice),
        images=change,
        choose=choose,
        choices=(_UNCHANGED, *texts),
    )


def transform(x: Map, *, scale: float | int, turns: Int[Array, ""] | int | None = None) -> Changed:
    """Return images, clips or their latents scaled, then rotated clockwise.

    Args:
      scale: factor of height and width; sizes are rounded.
      turns: quarter turns, 0 to 3, which may be traced; None for none, of images of any shape.

    Raises:
      ConfigError: images that are not square are to be rotated.
    """
    *start, height, width, channels = x.shape
    size = (*start, round(height * scale), round(width * scale), channels)
    x = x if size == x.shape else jax.image.resize(x, size, "linear", antialias=False)
    if turns is None:
        return x
    if x.shape[-3] != x.shape[-2]:
        raise ConfigError(
            f"regularizers.equivariance.rotate needs square images, and not {height}x{width}: set "
            "it to False"
        )
    turned = [lambda y, k=k: jnp.rot90(y, -k, axes=(y.ndim - 3, y.ndim - 2)) for k in range(4)]
    return jax.lax.switch(jnp.asarray(turns), turned, x)
