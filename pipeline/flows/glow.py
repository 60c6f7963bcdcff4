"""Glow's step of flow (Kingma and Dhariwal, 1807.03039, table 1), on vectors.

Each step is a scale and a shift per feature, an invertible linear map, and a coupling. The paper
has images: its 1x1 convolution is a product with a matrix here, and its coupling's convolutions are
linear layers.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.flows.chain import Chain
from pipeline.flows.coupling import Coupling


class ActNorm(nnx.Module):
    """A scale and a shift per feature, initialized to the identity and not by a first batch."""

    def __init__(self, features: int):
        self.log_scale = nnx.Param(jnp.zeros((features,), jnp.float32))
        self.shift = nnx.Param(jnp.zeros((features,), jnp.float32))

    def __call__(self, z: Float[Array, "b d"]) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        y = z * jnp.exp(self.log_scale[...]) + self.shift[...]
        return y, jnp.broadcast_to(self.log_scale[...], z.shape)

    def inverse(self, y: Float[Array, "b d"]) -> Float[Array, "b d"]:
        return (y - self.shift[...]) * jnp.exp(-self.log_scale[...])


class InvertibleLinear(nnx.Module):
    """A product with P L (U + diag(s)) (eq. 10), initialized to a random rotation.

    The elements of s keep their signs, so that the map stays invertible; log |s_i| is the
    log-determinant of feature i.
    """

    def __init__(self, features: int, *, key: PRNGKeyArray):
        rotation, _ = jnp.linalg.qr(jax.random.normal(key, (features, features), jnp.float32))
        permutation, lower, upper = jax.scipy.linalg.lu(rotation)
        diagonal = jnp.diag(upper)
        self.permutation, self.signs = nnx.Variable(permutation), nnx.Variable(jnp.sign(diagonal))
        self.lower, self.upper = nnx.Param(lower), nnx.Param(upper)
        self.log_scale = nnx.Param(jnp.log(jnp.abs(diagonal)))

    def __call__(self, z: Float[Array, "b d"]) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        lower, upper = self._triangles()
        y = z @ (self.permutation[...] @ lower @ upper).T
        return y, jnp.broadcast_to(self.log_scale[...], z.shape)

    def inverse(self, y: Float[Array, "b d"]) -> Float[Array, "b d"]:
        lower, upper = self._triangles()
        columns = self.permutation[...].T @ y.T
        columns = jax.scipy.linalg.solve_triangular(lower, columns, lower=True, unit_diagonal=True)
        return jax.scipy.linalg.solve_triangular(upper, columns).T

    def _triangles(self) -> tuple[Array, Array]:
        size = self.lower[...].shape[0]
        lower = jnp.tril(self.lower[...], -1) + np.eye(size, dtype=np.float32)
        diagonal = self.signs[...] * jnp.exp(self.log_scale[...])
        return lower, jnp.triu(self.upper[...], 1) + jnp.diag(diagonal)


class Glow(Chain):
    """`depth` steps of flow."""

    def __init__(self, features: int, *, depth: int = 2, hidden: int = 64, key: PRNGKeyArray):
        flows = []
        for step_key in jax.random.split(key, depth):
            linear, coupling = jax.random.split(step_key)
            flows += [
                ActNorm(features),
                InvertibleLinear(features, key=linear),
                Coupling(features, hidden, key=coupling),
            ]
        super().__init__(flows)
