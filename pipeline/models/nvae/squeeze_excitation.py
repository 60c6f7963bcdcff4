"""Squeeze and excitation: each channel times a gate that sees the means of all of them
(1709.01507).
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.nn import init


class SqueezeExcitation(nnx.Module):
    """x * sigmoid(linear(relu(linear(means of x over its pixels)))); between are channels / 16
    units, at least 4.

    The means are float32.
    """

    def __init__(self, features: int, *, key: PRNGKeyArray, dtype: Any = jnp.float32):
        self.squeeze = Linear(
            features, max(features // 16, 4), key=jax.random.fold_in(key, 0), dtype=dtype
        )
        self.excite = Linear(
            max(features // 16, 4), features, key=jax.random.fold_in(key, 1), dtype=dtype
        )

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        means = x.mean(axis=(1, 2), dtype=jnp.float32)
        gate = jax.nn.sigmoid(self.excite(jax.nn.relu(self.squeeze(means))))
        return x * gate[:, None, None].astype(x.dtype)


class Linear(nnx.Module):
    """x @ kernel + bias; both start uniform in +-sqrt(1 / inputs), as torch's do."""

    def __init__(self, inputs: int, outputs: int, *, key: PRNGKeyArray, dtype: Any = jnp.float32):
        bound = inputs**-0.5
        kernel, bias = jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)
        self.kernel = nnx.Param(init.uniform(kernel, (inputs, outputs), bound))
        self.bias = nnx.Param(init.uniform(bias, (outputs,), bound))
        self.dtype = dtype

    def __call__(self, x: Float[Array, "b c"]) -> Float[Array, "b d"]:
        return x.astype(self.dtype) @ self.kernel[...].astype(self.dtype) + self.bias[...].astype(
            self.dtype
        )
