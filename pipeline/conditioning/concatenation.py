"""Concatenation of the condition to the features before a layer, as in the CVAE (Sohn et al. 2015).

A linear layer of [x, c] is the sum of one of x and one of c. The layer's output is therefore given
here, and the second summand is added to it, with the weights that concatenation would have. At the
border of an image the two differ: planes of c would be padded with zeros for a convolution.
"""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.conditioning.modulation import over_positions, zeros_linear
from pipeline.nn.norm import Momentum


class Concatenation(nnx.Module):
    """x + W c, where x is the output of the layer that the condition is concatenated for."""

    def __init__(
        self, features: int, condition: int, *, key: PRNGKeyArray, dtype: Any = jnp.float32
    ):
        del key  # everything starts from 0
        self.linear = zeros_linear(condition, features, dtype=dtype)

    def __call__(
        self, x: Float[Array, "b *shape c"], c: Float[Array, "b e"], momentum: Momentum = None
    ) -> Float[Array, "b *shape c"]:
        del momentum
        return x + self.linear(over_positions(c, x))
