"""Glow (Kingma and Dhariwal, 1807.03039, table 1) on feature maps: scale and shift, 1x1 convolution, coupling."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.flows.chain import Chain
from pipeline.flows.coupling import Coupling
from pipeline.nn.conv import Conv


class ActNorm(nnx.Module):
    """A scale and a shift a channel. They begin as the identity, and not as what standardises a first batch."""

    def __init__(self, features: int):
        self.log_scale = nnx.Param(jnp.zeros((features,), jnp.float32))
        self.shift = nnx.Param(jnp.zeros((features,), jnp.float32))

    def __call__(
        self, z: Float[Array, "b *s d"]
    ) -> tuple[Float[Array, "b *s d"], Float[Array, "b *s d"]]:
        return z * jnp.exp(self.log_scale[...]) + self.shift[...], jnp.broadcast_to(
            self.log_scale[...], z.shape
        )

    def inverse(self, y: Float[Array, "b *s d"]) -> Float[Array, "b *s d"]:
        return (y - self.shift[...]) * jnp.exp(-self.log_scale[...])


class InvertibleConv(nnx.Module):
    """A 1x1 convolution by P L (U + diag(s)) (eq. 10), from a random rotation.

    Diagonals of s keep their signs, so that it stays invertible; log |s_i| is the log-determinant of channel i.
    """

    def __init__(self, features: int, *, key: PRNGKeyArray):
        rotation, _ = jnp.linalg.qr(jax.random.normal(key, (features, features), jnp.float32))
        permutation, lower, upper = jax.scipy.linalg.lu(rotation)
        diagonal = jnp.diag(upper)
        self.permutation, self.signs = nnx.Variable(permutation), nnx.Variable(jnp.sign(diagonal))
        self.lower, self.upper = nnx.Param(lower), nnx.Param(upper)
        self.log_scale = nnx.Param(jnp.log(jnp.abs(diagonal)))

    def __call__(
        self, z: Float[Array, "b *s d"]
    ) -> tuple[Float[Array, "b *s d"], Float[Array, "b *s d"]]:
        lower, upper = self._triangles()
        y = z @ (self.permutation[...] @ lower @ upper).T
        return y, jnp.broadcast_to(self.log_scale[...], z.shape)

    def inverse(self, y: Float[Array, "b *s d"]) -> Float[Array, "b *s d"]:
        lower, upper = self._triangles()
        columns = self.permutation[...].T @ y.reshape(-1, y.shape[-1]).T
        columns = jax.scipy.linalg.solve_triangular(lower, columns, lower=True, unit_diagonal=True)
        return jax.scipy.linalg.solve_triangular(upper, columns).T.reshape(y.shape)

    def _triangles(self) -> tuple[Array, Array]:
        size = self.lower[...].shape[0]
        lower = jnp.tril(self.lower[...], -1) + np.eye(size, dtype=np.float32)
        return lower, jnp.triu(self.upper[...], 1) + jnp.diag(
            self.signs[...] * jnp.exp(self.log_scale[...])
        )


class ConvNetwork(nnx.Module):
    """3x3, 1x1 and 3x3 convolutions with ReLUs between; the last begins at a tenth of its usual size."""

    def __init__(self, inputs: int, outputs: int, hidden: int, *, key: PRNGKeyArray):
        keys = jax.random.split(key, 3)
        self.first = Conv(inputs, hidden, 3, key=keys[0])
        self.middle = Conv(hidden, hidden, 1, key=keys[1])
        self.last = Conv(hidden, outputs, 3, init_scale=0.1, key=keys[2])

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
        return self.last(nnx.relu(self.middle(nnx.relu(self.first(x)))))


class Glow(Chain):
    """`depth` steps of flow at one resolution."""

    def __init__(self, features: int, *, depth: int = 2, hidden: int = 64, key: PRNGKeyArray):
        flows = []
        for index in range(depth):
            mixing, moving = jax.random.split(jax.random.fold_in(key, index))
            coupling = Coupling(
                features, lambda i, o, moving=moving: ConvNetwork(i, o, hidden, key=moving)
            )
            flows += [ActNorm(features), InvertibleConv(features, key=mixing), coupling]
        super().__init__(flows)
