"""Feature-wise linear modulation (FiLM, arXiv 1709.07871)."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.conditioning.modulation import Modulation
from pipeline.nn.norm import Momentum


class FiLM(nnx.Module):
    """x (1 + scale(c)) + shift(c): each channel is scaled and shifted by the condition.

    The scale is predicted as an offset from 1, as in the paper's appendix, and can start from 0.
    """

    def __init__(
        self, features: int, condition: int, *, key: PRNGKeyArray, dtype: Any = jnp.float32
    ):
        del key  # everything starts from 0
        self.modulation = Modulation(features, condition, dtype=dtype)

    def __call__(
        self, x: Float[Array, "b *shape c"], c: Float[Array, "b e"], momentum: Momentum = None
    ) -> Float[Array, "b *shape c"]:
        del momentum
        return self.modulation(x, c)
