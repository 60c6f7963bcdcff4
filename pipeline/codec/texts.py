"""A codec of text: tokens to latents and back."""

from typing import Any

import jax.numpy as jnp

from pipeline.codec.vectors import VectorCodec
from pipeline.core.errors import DataError


class TextCodec(VectorCodec):
    """A model of text as a FixedSizeCodec: `encode` takes tokens int32 [b n], `decode` gives them.

    Tokens are those of the run's vocabulary.json (pipeline.data.texts.vocabulary); `decode` writes
    them greedily.
    """

    def _checked(self, images: Any) -> Any:
        dtype = getattr(images, "dtype", None)
        if dtype is not None and jnp.dtype(dtype).kind not in "iu":
            raise DataError(f"tokens are {dtype}, but must be integers")
        return super()._checked(images)
