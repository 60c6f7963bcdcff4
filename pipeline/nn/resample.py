"""Resampling of feature maps [b h w c] and clips [b t h w c] by an integer factor."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from pipeline.backend.halo import with_halo_exchange


def average_pool(x: Float[Array, "b h w c"], factor: int) -> Float[Array, "b h2 w2 c"]:
    """Average `factor` x `factor` cells; height and width must be multiples of `factor`."""
    b, h, w, c = x.shape
    return x.reshape(b, h // factor, factor, w // factor, factor, c).mean(axis=(2, 4))


def nearest_upsample(x: Float[Array, "b *t h w c"], factor: int) -> Float[Array, "b *t h2 w2 c"]:
    """Repeat each pixel `factor` times along height and width.

    jnp.repeat keeps a sharding over height, which jax.image.resize loses.
    """
    return jnp.repeat(jnp.repeat(x, factor, axis=x.ndim - 3), factor, axis=x.ndim - 2)


def bilinear_double(x: Float[Array, "b *t h w c"]) -> Float[Array, "b *t h2 w2 c"]:
    """Double height and width, bilinearly between pixel centers; edge pixels extend outward."""

    def double(_: None, x: Array) -> Array:
        return linear_double(linear_double(x, x.ndim - 3), x.ndim - 2)

    return with_halo_exchange(double, None, x, halo=1, edges="replicate")


def aligned_bilinear_double(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """Double height and width bilinearly, with corner pixels aligned (torch's align_corners=True).

    The weights of a pixel depend on its position in the whole image: so this is a product with a
    matrix along each axis, which a mesh may split.
    """
    rows, columns = (jnp.asarray(_aligned_weights(size), x.dtype) for size in x.shape[1:3])
    return jnp.einsum("ph,qw,bhwc->bpqc", rows, columns, x)


def _aligned_weights(size: int) -> Float[np.ndarray, "m n"]:
    """Return the weights of `size` pixels in 2 * size ones, spaced evenly from first to last."""
    positions = np.linspace(0, size - 1, 2 * size)
    distances = np.abs(positions[:, None] - np.arange(size)[None, :])
    return np.maximum(0, 1 - distances).astype(np.float32)


def linear_double(x: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """Double the length of an axis: 3/4 of an element and 1/4 of its neighbor on each side."""
    length = x.shape[axis]
    first, last = (lax.slice_in_dim(x, start, start + 1, axis=axis) for start in (0, length - 1))
    before = jnp.concatenate([first, lax.slice_in_dim(x, 0, length - 1, axis=axis)], axis=axis)
    after = jnp.concatenate([lax.slice_in_dim(x, 1, length, axis=axis), last], axis=axis)
    pairs = jnp.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis=axis + 1)
    return pairs.reshape(*x.shape[:axis], 2 * length, *x.shape[axis + 1 :])


def double_frames(x: Float[Array, "b t h w c"], *, first: bool) -> Float[Array, "b t2 h w c"]:
    """Repeat each frame twice, but the first frame of a clip once: 1 + k frames become 1 + 2k.

    `first` says that x begins with the first frame of a clip. No frame depends on a later one.
    """
    doubled = jnp.repeat(x, 2, axis=1)
    return doubled[:, 1:] if first else doubled


def interpolate_frames(x: Float[Array, "b t h w c"], *, first: bool) -> Float[Array, "b t2 h w c"]:
    """Double frames as `double_frames`, but linearly, as WF-VAE's released weights do (2411.17459).

    The first frame of a clip is not interpolated. A frame depends on one later frame of x, and on
    where x ends.
    """
    if not first:
        return linear_double(x, 1)
    return jnp.concatenate([x[:, :1], linear_double(x[:, 1:], 1)], axis=1) if x.shape[1] > 1 else x
