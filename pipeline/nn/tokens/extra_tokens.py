"""Learned tokens beside those of patches: a class token, registers, or the tokens of a latent."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.nn import init


class ExtraTokens(nnx.Module):
    """`count` vectors [count width] that start as N(0, deviation^2) and are equal for all examples.

    One is a class token; four are the registers of arXiv 2309.16588, which take up what attention
    would otherwise store in patches of the background.
    """

    def __init__(
        self,
        count: int,
        width: int,
        *,
        deviation: float = 0.02,
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        self.vectors = nnx.Param(init.normal(key, (count, width), deviation))
        self.dtype = dtype

    def __call__(self, batch: int) -> Float[Array, "b n c"]:
        """Return the vectors for each example of a batch."""
        vectors = self.vectors[...].astype(self.dtype)
        return jnp.broadcast_to(vectors, (batch, *vectors.shape))
