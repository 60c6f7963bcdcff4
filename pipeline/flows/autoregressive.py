"""Affine autoregressive flows of vectors: MAF (1705.07057) and IAF (1606.04934), over one masked network (1502.03509).

Element i of the output is element i of the input, scaled and shifted by what comes before it: before it in the input
for IAF, which samples in one pass, and in the output for MAF, which gives a density in one pass.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

# Added to the gate's logits of IAF, whose sigmoid then is 0.88: a flow that begins by keeping most of z
# (1606.04934, section 4, which advises +1 or +2).
OPEN = 2.0


class MADE(nnx.Module):
    """Two outputs for each element, which see the elements before it alone: one hidden layer with masked weights."""

    def __init__(self, features: int, hidden: int, *, key: PRNGKeyArray):
        order = np.arange(features)
        # Unit h sees elements up to number seen[h]; no output sees the last one.
        seen = np.arange(hidden) % max(1, features - 1)
        self.into = (order[:, None] <= seen[None, :]).astype(np.float32)
        self.out = np.tile(seen[:, None] < order[None, :], (1, 2)).astype(np.float32)
        first, last = jax.random.split(key)
        self.first = nnx.Param(
            jax.random.normal(first, self.into.shape, jnp.float32) * features**-0.5
        )
        self.first_bias = nnx.Param(jnp.zeros((hidden,), jnp.float32))
        self.last = nnx.Param(
            jax.random.normal(last, self.out.shape, jnp.float32) * 0.1 * hidden**-0.5
        )
        self.last_bias = nnx.Param(jnp.zeros((2 * features,), jnp.float32))

    def __call__(self, z: Float[Array, "b d"]) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        hidden = nnx.relu(z @ (self.first[...] * jnp.asarray(self.into)) + self.first_bias[...])
        both = hidden @ (self.last[...] * jnp.asarray(self.out)) + self.last_bias[...]
        scale, shift = jnp.split(both, 2, axis=-1)
        return scale, shift


class IAF(nnx.Module):
    """y = g z + (1 - g) m, the gate g = sigmoid(s + 2) and s, m of what is before in z (1606.04934, eq. 13, 14)."""

    def __init__(self, features: int, *, hidden: int = 64, key: PRNGKeyArray):
        self.network = MADE(features, hidden, key=key)

    def __call__(self, z: Float[Array, "b d"]) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        return gated(z, *self.network(z))

    def inverse(self, y: Float[Array, "b d"]) -> Float[Array, "b d"]:
        return in_order(lambda z: ungated(y, *self.network(z)), y, y.shape[-1])


class MAF(nnx.Module):
    """y = z exp(a) + m, with a and m of what is before in y (1705.07057, eq. 2)."""

    def __init__(self, features: int, *, hidden: int = 64, key: PRNGKeyArray):
        self.network = MADE(features, hidden, key=key)

    def __call__(self, z: Float[Array, "b d"]) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        def sweep(y: Array) -> Array:
            log_scale, shift = self.network(y)
            return z * jnp.exp(log_scale) + shift

        y = in_order(sweep, z, z.shape[-1])
        return y, self.network(y)[0]

    def inverse(self, y: Float[Array, "b d"]) -> Float[Array, "b d"]:
        log_scale, shift = self.network(y)
        return (y - shift) * jnp.exp(-log_scale)


def gated(z: Array, scale: Array, shift: Array) -> tuple[Array, Array]:
    """A step of IAF, with the log-determinant of each element, from the gate's logits and the mean."""
    logits = scale + OPEN
    gate = jax.nn.sigmoid(logits)
    return gate * z + (1 - gate) * shift, jax.nn.log_sigmoid(logits)


def ungated(y: Array, scale: Array, shift: Array) -> Array:
    """The z of `gated`."""
    gate = jax.nn.sigmoid(scale + OPEN)
    return (y - (1 - gate) * shift) / gate


def in_order(sweep: Callable[[Array], Array], start: Array, elements: int) -> Array:
    """The fixed point of a `sweep` of which each element sees those before it: exact after as many sweeps.

    Sweep n makes element n right, since all that it sees are; gradients go through all sweeps.
    """
    done, _ = jax.lax.scan(lambda values, _: (sweep(values), None), start, None, length=elements)
    return done
