"""Images as bytes, by a model with a scale hyperprior (arXiv 1802.01436, section 3).

The hyper-latents come first, each with its channel's learned distribution. They give the scales of
the latents, which are rounded to 64 levels, so that there is a table of frequencies for each. Both
sides compute the levels by one compiled program: the bytes are those of one kind of machine and
version of jax.
"""

import functools
import math
import struct
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int64, Shaped
from scipy.special import ndtr

from pipeline.backend.jit import jit
from pipeline.codec.entropy import rans
from pipeline.codec.entropy.tables import Tables
from pipeline.core.errors import DataError
from pipeline.core.parameters import ModelDef

_MAGIC, _VERSION = b"strata", 1
_HEADER = struct.Struct("<6sB8s3I")  # also: fingerprint, number of images, height, width
_MOST_PIXELS = 2**26  # of the images of one call
_REACH = 128  # of hyper-latents; others are escapes
_LEVELS, _LEAST, _MOST = 64, math.log(0.11), math.log(256)  # of log-scales
_DEVIATIONS = 6  # that a table of latents reaches

Size = tuple[int, int]


class HyperpriorCoder:
    """The entropy coder of one model and its weights.

    Args:
      state: (parameters, other variables).
      fingerprint: hash of the weights, in hexadecimal digits.
      latent_shape: the shape (h2, w2, d) of the latents of an image of a height and width.
    """

    def __init__(
        self,
        modeldef: ModelDef,
        state: Any,
        fingerprint: str,
        latent_shape: Callable[[int, int], tuple[int, int, int]],
    ):
        self._state, self._mark = state, bytes.fromhex(fingerprint)[:8]
        self._latent_shape = latent_shape
        self._integers = jit(functools.partial(_integers, modeldef), what="the encoder")
        self._levels = jit(
            functools.partial(_levels, modeldef),
            what="the hyper-decoder",
            static_argnames=("height", "width"),
        )
        masses = np.exp(np.asarray(_log_masses(modeldef, *state), np.float64))
        self._of_hyper_latents = Tables(list(masses.T))
        self._channels = masses.shape[1]

    def compress(self, images: Shaped[Array | np.ndarray, "b h w c"], size: Size) -> bytes:
        """Return the bytes of images whose sides the model takes; `size` is what is shown.

        Raises:
          DataError: the images have too many pixels for one call.
        """
        if len(images) * math.prod(size) > _MOST_PIXELS:
            raise DataError(f"compress takes at most {_MOST_PIXELS:,} pixels: give fewer images")
        y, z = (np.asarray(each, np.int64) for each in self._integers(*self._state, images))
        levels = self._levels_of(z, y.shape)
        header = _HEADER.pack(_MAGIC, _VERSION, self._mark, len(y), *size)
        return b"".join(
            (
                header,
                rans.encode(self._of_hyper_latents, self._channels_of(z.size), z.ravel()),
                rans.encode(_tables_of_latents(), levels, y.ravel()),
            )
        )

    def decompress(self, data: bytes) -> tuple[Float[np.ndarray, "b h2 w2 d"], Size]:
        """Return the latents of `compress`, exactly, and the size of the images.

        Raises:
          DataError: the bytes are damaged, or another codec's.
        """
        if not isinstance(data, bytes):
            raise DataError(f"decompress takes bytes, not {type(data).__name__}")
        if len(data) < _HEADER.size or data[: len(_MAGIC)] != _MAGIC:
            raise DataError("the bytes are not those of `compress`")
        _, version, mark, batch, height, width = _HEADER.unpack_from(data)
        if version != _VERSION or mark != self._mark:
            raise DataError("the bytes are those of another codec or version")
        if not 1 <= batch * height * width <= _MOST_PIXELS:
            raise DataError("the compressed bytes are damaged, or another codec's")
        shape = (batch, *self._latent_shape(height, width))
        of_z = self._hyper_shape(shape)
        count = math.prod(of_z)
        rest = data[_HEADER.size :]
        z, rest = rans.decode(self._of_hyper_latents, self._channels_of(count), rest)
        levels = self._levels_of(z.reshape(of_z), shape)
        y, rest = rans.decode(_tables_of_latents(), levels, rest)
        if rest:
            raise DataError("the compressed bytes are damaged, or another codec's")
        return y.reshape(shape).astype(np.float32), (height, width)

    def _hyper_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        batch, height, width, _ = shape
        return batch, -(-height // 4), -(-width // 4), self._channels

    def _channels_of(self, count: int) -> Int64[np.ndarray, " n"]:
        return np.arange(count) % self._channels

    def _levels_of(self, z: Any, shape: tuple[int, ...]) -> Int64[np.ndarray, " n"]:
        # The same program for both ways: its float32 input has the same values and shape.
        given = jnp.asarray(z, jnp.float32)
        levels = self._levels(*self._state, given, height=shape[1], width=shape[2])
        return np.asarray(levels, np.int64).ravel()


@functools.cache
def _tables_of_latents() -> Tables:
    masses = []
    for log_scale in np.linspace(_LEAST, _MOST, _LEVELS):
        scale = math.exp(log_scale)
        reach = math.ceil(_DEVIATIONS * scale) + 1
        ends = (np.arange(-reach, reach + 2) - 0.5) / scale
        # Of the upper half the mirrored lower one: differences of numbers near 1 are imprecise.
        masses.append(np.abs(np.diff(ndtr(-np.abs(ends)))))
        masses[-1][reach] = 1 - 2 * ndtr(-0.5 / scale)
    return Tables(masses)


def _integers(modeldef: ModelDef, params: Any, model_state: Any, images: Array) -> Any:
    return modeldef.merge(params, model_state).integers(images)


def _levels(
    modeldef: ModelDef, params: Any, model_state: Any, z: Array, *, height: int, width: int
) -> Array:
    bottleneck = modeldef.merge(params, model_state).bottleneck
    level = (bottleneck.log_scales(z, height, width) - _LEAST) * ((_LEVELS - 1) / (_MOST - _LEAST))
    return jnp.clip(jnp.round(level), 0, _LEVELS - 1).astype(jnp.int32)


def _log_masses(modeldef: ModelDef, params: Any, model_state: Any) -> Array:
    """Return the log-masses [257 n] of integers from -128 to 128 in each channel."""
    density = modeldef.merge(params, model_state).bottleneck.density
    channels = density.matrices[0][...].shape[0]
    grid = jnp.arange(-_REACH, _REACH + 1, dtype=jnp.float32)[:, None]
    return density.log_mass(jnp.broadcast_to(grid, (len(grid), channels)))
