"""Linear layers whose kernels start as N(0, deviation^2), 0.02 by default as in transformers."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.nn import init

DEVIATION = 0.02


class Linear(nnx.Module):
    """x @ kernel + bias, of float32 parameters, computed in `dtype`."""

    def __init__(
        self,
        width: int,
        out: int,
        *,
        bias: bool = True,
        deviation: float = DEVIATION,
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        self.kernel = nnx.Param(init.normal(key, (width, out), deviation))
        self.bias = nnx.Param(jnp.zeros((out,), jnp.float32)) if bias else None
        self.dtype = dtype

    def __call__(self, x: Float[Array, "... c"]) -> Float[Array, "... d"]:
        y = x.astype(self.dtype) @ self.kernel[...].astype(self.dtype)
        return y if self.bias is None else y + self.bias[...].astype(self.dtype)
