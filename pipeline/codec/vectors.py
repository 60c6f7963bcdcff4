"""A codec of vectors: numbers to latents and back."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from pipeline.codec.checks import checked_finite
from pipeline.codec.fixed_size import FixedSizeCodec
from pipeline.core.errors import DataError


def _unchanged(x: Array) -> Array:
    return x


class VectorCodec(FixedSizeCodec):
    """A model of vectors as a FixedSizeCodec: `encode` takes float [b d], `decode` returns it.

    What FixedSizeCodec says of images holds for vectors, whose values are those of the data.
    """

    _values = staticmethod(_unchanged)

    def _checked(self, images: Any) -> Any:
        shape, dtype = getattr(images, "shape", None), getattr(images, "dtype", None)
        expected = f"[batch {self.example_shape[0]}]"
        if shape is None or dtype is None:
            raise DataError(f"encode takes an array {expected}, not {type(images).__name__}")
        if len(shape) != 2 or tuple(shape[1:]) != self.example_shape or shape[0] < 1:
            raise DataError(f"vectors have shape {list(shape)}, but this codec takes {expected}")
        if jnp.dtype(dtype).kind not in "fiu":
            raise DataError(f"vectors are {dtype}, but must be numbers")
        checked_finite(images, "vectors")
        return images
