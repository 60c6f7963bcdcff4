"""Affine autoregressive flows, MAF (1705.07057) and IAF (1606.04934), on MADE (1502.03509).

Element i of the output is element i of the input, scaled and shifted by functions of the elements
before it: in the input for IAF, which samples in one pass, and in the output for MAF, which
evaluates a density in one pass.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.flows.chain import Chain, Reverse

# Added to the logits of IAF's gate, which is then initially sigmoid(2) = 0.88: the flow keeps most
# of z (1606.04934, section 4, which advises +1 or +2).
GATE_BIAS = 2.0


class MADE(nnx.Module):
    """A network with two outputs per element, each a function of the elements before it alone.

    It has one hidden layer, with masked weights.
    """

    def __init__(self, features: int, hidden: int, *, key: PRNGKeyArray):
        self.features, self.hidden = features, hidden
        first, last = jax.random.split(key)
        self.first = nnx.Param(
            jax.random.normal(first, (features, hidden), jnp.float32) * features**-0.5
        )
        self.first_bias = nnx.Param(jnp.zeros((hidden,), jnp.float32))
        self.last = nnx.Param(
            jax.random.normal(last, (hidden, 2 * features), jnp.float32) * 0.1 * hidden**-0.5
        )
        self.last_bias = nnx.Param(jnp.zeros((2 * features,), jnp.float32))

    def __call__(self, z: Float[Array, "b d"]) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        first_mask, last_mask = self._masks()
        hidden = nnx.relu(z @ (self.first[...] * first_mask) + self.first_bias[...])
        both = hidden @ (self.last[...] * last_mask) + self.last_bias[...]
        scale, shift = jnp.split(both, 2, axis=-1)
        return scale, shift

    def _masks(self) -> tuple[Float[np.ndarray, "d h"], Float[np.ndarray, "h d2"]]:
        order = np.arange(self.features)
        # Hidden unit h sees elements up to number seen[h]; no output sees the last element.
        seen = np.arange(self.hidden) % max(1, self.features - 1)
        first = order[:, None] <= seen[None, :]
        last = np.tile(seen[:, None] < order[None, :], (1, 2))
        return first.astype(np.float32), last.astype(np.float32)


class IAFStep(nnx.Module):
    """y = g z + (1 - g) m, with g = sigmoid(s + 2), and s and m of z (1606.04934, eq. 13, 14)."""

    def __init__(self, features: int, hidden: int, *, key: PRNGKeyArray):
        self.network = MADE(features, hidden, key=key)

    def __call__(self, z: Float[Array, "b d"]) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        return gated(z, *self.network(z))

    def inverse(self, y: Float[Array, "b d"]) -> Float[Array, "b d"]:
        return solve_in_order(lambda z: ungated(y, *self.network(z)), y, y.shape[-1])


class MAFStep(nnx.Module):
    """y = z exp(a) + m, with a and m functions of y (1705.07057, eq. 2)."""

    def __init__(self, features: int, hidden: int, *, key: PRNGKeyArray):
        self.network = MADE(features, hidden, key=key)

    def __call__(self, z: Float[Array, "b d"]) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        def sweep(y: Array) -> Array:
            log_scale, shift = self.network(y)
            return z * jnp.exp(log_scale) + shift

        y = solve_in_order(sweep, z, z.shape[-1])
        return y, self.network(y)[0]

    def inverse(self, y: Float[Array, "b d"]) -> Float[Array, "b d"]:
        return self.inverse_and_log_det(y)[0]

    def inverse_and_log_det(
        self, y: Float[Array, "b d"]
    ) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        log_scale, shift = self.network(y)
        return (y - shift) * jnp.exp(-log_scale), log_scale


class IAF(Chain):
    """`depth` steps of IAF, the order of the features reversed after each."""

    def __init__(self, features: int, *, depth: int = 2, hidden: int = 64, key: PRNGKeyArray):
        super().__init__(_alternating(IAFStep, features, depth, hidden, key))


class MAF(Chain):
    """`depth` steps of MAF, the order of the features reversed after each."""

    def __init__(self, features: int, *, depth: int = 2, hidden: int = 64, key: PRNGKeyArray):
        super().__init__(_alternating(MAFStep, features, depth, hidden, key))


def _alternating(
    step: Callable[..., nnx.Module], features: int, depth: int, hidden: int, key: PRNGKeyArray
) -> list[nnx.Module]:
    flows = []
    for step_key in jax.random.split(key, depth):
        flows += [step(features, hidden, key=step_key), Reverse()]
    return flows


def gated(z: Array, scale: Array, shift: Array) -> tuple[Array, Array]:
    """Return one IAF step and the log-determinant of each element.

    Args:
      scale: the gate's logits, before GATE_BIAS.
      shift: the mean that the gate mixes in.
    """
    logits = scale + GATE_BIAS
    gate = jax.nn.sigmoid(logits)
    return gate * z + (1 - gate) * shift, jax.nn.log_sigmoid(logits)


def ungated(y: Array, scale: Array, shift: Array) -> Array:
    """Return the z that `gated` maps to y."""
    gate = jax.nn.sigmoid(scale + GATE_BIAS)
    return (y - (1 - gate) * shift) / gate


def solve_in_order(sweep: Callable[[Array], Array], start: Array, elements: int) -> Array:
    """Return the fixed point of `sweep`, each element of which depends on those before it.

    It is exact after `elements` sweeps: sweep n makes element n right, since all that it depends on
    are. Gradients go through all sweeps.
    """
    done, _ = jax.lax.scan(lambda values, _: (sweep(values), None), start, None, length=elements)
    return done
