"""Fixed random codes under a trained linear map (SimVQ, arXiv 2411.02038, eq. 5).

A gradient of any code moves the map, and so all codes: none is left behind.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pipeline.nn import init


class FixedCodes(nnx.Variable):
    """Codes that are drawn once and never trained."""


class LinearMap(nnx.Module):
    """`num_codes` codes of `dim` numbers, N(0, 1 / dim), times a matrix, plus a bias."""

    def __init__(self, *, num_codes: int, dim: int, key: PRNGKeyArray):
        self.fixed = FixedCodes(init.normal(key, (num_codes, dim), dim**-0.5))
        bound = dim**-0.5
        self.kernel = nnx.Param(init.uniform(jax.random.fold_in(key, 1), (dim, dim), bound))
        self.bias = nnx.Param(init.uniform(jax.random.fold_in(key, 2), (dim,), bound))

    def __call__(self) -> Float[Array, "k d"]:
        """Return the mapped codes."""
        return jnp.matmul(self.fixed[...], self.kernel[...], precision="highest") + self.bias[...]

    def follow(
        self, x: Float[Array, "*n d"], indices: Int[Array, "*n"], key: PRNGKeyArray | None
    ) -> None:
        """Do nothing: the optimizer moves the map."""
