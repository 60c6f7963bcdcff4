"""Scale and shift of each channel by a condition."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


def zeros_linear(inputs: int, outputs: int, *, dtype: Any) -> nnx.Linear:
    """Return a linear layer whose output is 0 until it is trained."""
    zeros = nnx.initializers.zeros_init()
    return nnx.Linear(inputs, outputs, kernel_init=zeros, dtype=dtype, rngs=nnx.Rngs(0))


def over_positions(c: Float[Array, "b e"], x: Float[Array, "b *shape c"]) -> Array:
    """Return a condition [b 1 ... e] that broadcasts over the positions of features."""
    return c.reshape(c.shape[0], *[1] * (x.ndim - 2), c.shape[-1])


class Modulation(nnx.Module):
    """x (1 + scale(c)) + shift(c), where scale and shift are linear in c and start from 0."""

    def __init__(self, features: int, condition: int, *, dtype: Any = jnp.float32):
        self.scale = zeros_linear(condition, features, dtype=dtype)
        self.shift = zeros_linear(condition, features, dtype=dtype)

    def __call__(
        self, x: Float[Array, "b *shape c"], c: Float[Array, "b e"]
    ) -> Float[Array, "b *shape c"]:
        c = over_positions(c, x)
        return x * (1 + self.scale(c)) + self.shift(c)
