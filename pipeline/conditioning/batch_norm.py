"""Conditional batch normalization (arXiv 1707.00683)."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.conditioning.modulation import Modulation
from pipeline.nn.norm import BatchNorm, Momentum


class ConditionalBatchNorm(nnx.Module):
    """Batch normalization whose scale and shift depend on the condition.

    The condition changes a learned scale and shift, as in the paper, by a factor and an offset
    where the paper has two offsets: the same functions while the scale is not 0. The features are
    normalized even before the condition has an effect. The running statistics belong to the raw
    weights: recipes set ema=0.0.
    """

    def __init__(
        self, features: int, condition: int, *, key: PRNGKeyArray, dtype: Any = jnp.float32
    ):
        del key  # nothing is drawn
        self.norm = BatchNorm(features)
        self.modulation = Modulation(features, condition, dtype=dtype)

    def __call__(
        self, x: Float[Array, "b *shape c"], c: Float[Array, "b e"], momentum: Momentum = None
    ) -> Float[Array, "b *shape c"]:
        as_map = x if x.ndim == 4 else x.reshape(len(x), 1, -1, x.shape[-1])
        return self.modulation(self.norm(as_map, momentum).reshape(x.shape), c)
