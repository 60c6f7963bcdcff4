"""Bicubic resizing as torch does it without antialiasing (a = -0.75), unlike jax.image.resize.

Pixel centers lie at half-integers, and edge pixels extend outward. Downscaling does not average.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_A = -0.75


def bicubic(
    x: Float[Array, "*n h w c"],
    height: int,
    width: int,
    *,
    scales: tuple[float, float] | None = None,
) -> Float[Array, "*n height width c"]:
    """Return x resized.

    scales: factors from the old grid to the new one, which coordinates follow in place of the ratio
    of sizes, as with torch's scale_factor.
    """
    across = scales or (height / x.shape[-3], width / x.shape[-2])
    rows, columns = (
        jnp.asarray(_matrix(old, new, scale))
        for old, new, scale in zip(x.shape[-3:-1], (height, width), across)
    )
    y = jnp.einsum("ph,...hwc->...pwc", rows, x.astype(jnp.float32))
    return jnp.einsum("qw,...pwc->...pqc", columns, y).astype(x.dtype)


def _matrix(old: int, new: int, scale: float) -> Float[np.ndarray, "new old"]:
    """Return the weights of `old` pixels in `new` ones."""
    if old == new and scale == 1:
        return np.eye(old, dtype=np.float32)
    places = (np.arange(new) + 0.5) / scale - 0.5
    first = np.floor(places).astype(int)
    weights = np.zeros((new, old))
    for offset in (-1, 0, 1, 2):
        distance = np.abs(places - first - offset)
        taps = np.clip(first + offset, 0, old - 1)
        np.add.at(weights, (np.arange(new), taps), _kernel(distance))
    return weights.astype(np.float32)


def _kernel(distance: np.ndarray) -> np.ndarray:
    """Return Keys' cubic of a distance in 0..2."""
    near = ((_A + 2) * distance - (_A + 3)) * distance**2 + 1
    far = ((_A * distance - 5 * _A) * distance + 8 * _A) * distance - 4 * _A
    return np.where(distance <= 1, near, far)
