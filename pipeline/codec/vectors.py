"""A codec of vectors: numbers to latents and back."""

import math
from typing import Any

import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array

from pipeline.codec.checks import checked_finite
from pipeline.codec.fixed_size import FixedSizeCodec
from pipeline.core.errors import DataError
from pipeline.core.parameters import ModelDef


def _unchanged(x: Array) -> Array:
    return x


class VectorCodec(FixedSizeCodec):
    """A model of vectors as a FixedSizeCodec: `encode` takes float [b d], `decode` returns it.

    What FixedSizeCodec says of images holds for vectors, whose values are those of the data.

    Attributes:
      least_value: the least number that the model has a density for, or -inf.
    """

    _values = staticmethod(_unchanged)
    least_value: float = -math.inf

    def __init__(self, modeldef: ModelDef, *arguments: Any):
        super().__init__(modeldef, *arguments)
        self.least_value = getattr(modeldef.skeleton(), "least_value", self.least_value)

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
        lowest = None if isinstance(images, Tracer) else float(jnp.min(jnp.asarray(images)))
        if lowest is not None and lowest < self.least_value:
            raise DataError(
                f"vectors have a value of {lowest:g}, but this codec's numbers are at least "
                f"{self.least_value:g}"
            )
        return images
