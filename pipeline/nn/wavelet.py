"""Orthonormal Haar wavelets of images and clips, with exact inverses.

A transform halves each axis and returns all bands of all channels, band by band: two channels r and
g give, in one dimension, [low r, low g, high r, high g]. "low" is the sum and "high" the first
minus the second of two neighbors, each divided by sqrt(2). In time a clip of 1 + 2k frames, whose
first frame counts twice, becomes 1 + k.

WF-VAE (2411.17459) uses 0.3536 for 1 / sqrt(8), so that its inverse gives 1.00026 times the input:
`scale` is for its weights.
"""

import itertools
from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

# The axes (time, height, width) in which a band is "high", in WF-VAE's order: of the spatial bands,
# the one in width comes first in its 3-D transform, and the one in height in its 2-D transform.
BANDS_3D = tuple((t, h, w) for t, h, w in itertools.product((0, 1), repeat=3))
BANDS_2D = ((0, 0), (1, 0), (0, 1), (1, 1))


def haar_3d(
    x: Float[Array, "b t h w c"], *, first: bool = True, scale: float = 8**-0.5
) -> Float[Array, "b t2 h2 w2 c8"]:
    """Return the bands over time, height and width.

    With `first`, x begins with the first frame of a clip and has 1 + 2k frames; else it has 2k.
    """
    if first:
        x = jnp.concatenate([x[:, :1], x], axis=1)
    return _analyze(x, (1, 2, 3), BANDS_3D, scale)


def inverse_haar_3d(
    bands: Float[Array, "b t h w c8"], *, first: bool = True, scale: float = 8**-0.5
) -> Float[Array, "b t2 h2 w2 c"]:
    """Invert `haar_3d`; `first` drops the copy of the first frame."""
    x = _synthesize(bands, (1, 2, 3), BANDS_3D, scale)
    return x[:, 1:] if first else x


def haar_2d(x: Float[Array, "... h w c"]) -> Float[Array, "... h2 w2 c4"]:
    """Return the bands over height and width."""
    return _analyze(x, (x.ndim - 3, x.ndim - 2), BANDS_2D, 0.5)


def inverse_haar_2d(bands: Float[Array, "... h w c4"]) -> Float[Array, "... h2 w2 c"]:
    """Invert `haar_2d`."""
    return _synthesize(bands, (bands.ndim - 3, bands.ndim - 2), BANDS_2D, 0.5)


def haar_pyramid(x: Float[Array, "... h w c"], levels: int) -> list[Float[Array, "... _ _ c4"]]:
    """Return the bands over height and width of x, then those of its low band, `levels` times."""
    channels, found = x.shape[-1], []
    for _ in range(levels):
        found.append(haar_2d(x))
        x = found[-1][..., :channels]
    return found


def _analyze(
    x: Array, axes: Sequence[int], bands: Sequence[tuple[int, ...]], scale: float
) -> Array:
    odd = [axis for axis in axes if x.shape[axis] % 2]
    if odd:
        raise ValueError(
            f"a Haar transform halves axes {list(axes)} of {x.shape}, but axis {odd[0]} is odd"
        )
    parts: dict[tuple[int, ...], Array] = {(): x}
    for axis in axes:
        # Each part [.. 2n ..] becomes its sums and differences [.. n ..].
        for band in list(parts):
            part = parts.pop(band)
            cells = part.reshape(
                *part.shape[:axis], part.shape[axis] // 2, 2, *part.shape[axis + 1 :]
            )
            even, uneven = (
                lax.index_in_dim(cells, index, axis + 1, keepdims=False) for index in (0, 1)
            )
            parts[*band, 0], parts[*band, 1] = even + uneven, even - uneven
    return jnp.concatenate([parts[band] for band in bands], axis=-1) * jnp.asarray(scale, x.dtype)


def _synthesize(
    x: Array, axes: Sequence[int], bands: Sequence[tuple[int, ...]], scale: float
) -> Array:
    parts = dict(zip(bands, jnp.split(x * jnp.asarray(scale, x.dtype), len(bands), axis=-1)))
    for axis in reversed(axes):
        merged = {}
        for band in {band[:-1] for band in parts}:
            low, high = parts[*band, 0], parts[*band, 1]
            cells = jnp.stack([low + high, low - high], axis=axis + 1)
            merged[band] = cells.reshape(
                *low.shape[:axis], 2 * low.shape[axis], *low.shape[axis + 1 :]
            )
        parts = merged
    return parts[()]
