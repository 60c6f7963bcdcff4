"""A learned density of numbers, one for each channel (arXiv 1802.01436, appendix 6.1).

The logit of the cumulative distribution is a small network that cannot but increase: matrices are
softplus of parameters, and after each one x becomes x + tanh(a) tanh(x). Numbers are rounded: the
probability of an integer is the mass of the unit interval around it.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.nn import init

_WIDEST = 2.0**14  # draws are sought within this distance of 0
_HALVINGS = 40  # of the interval in which a draw is sought


class FactorizedDensity(nnx.Module):
    """Independent densities of `channels` channels.

    Args:
      widths: hidden widths of each channel's network.
      scale: half the width of the interval that holds the numbers at the start, roughly.
    """

    def __init__(
        self,
        channels: int,
        *,
        widths: Sequence[int] = (3, 3, 3, 3),
        scale: float = 10.0,
        key: PRNGKeyArray,
    ):
        sizes = (1, *widths, 1)
        step = scale ** (1 / (len(widths) + 1))
        matrices, biases, factors = [], [], []
        for number, (inputs, outputs) in enumerate(pairwise(sizes)):
            value = np.log(np.expm1(1 / step / outputs))
            matrices.append(nnx.Param(jnp.full((channels, inputs, outputs), value, jnp.float32)))
            shape = (channels, 1, outputs)
            biases.append(nnx.Param(init.uniform(jax.random.fold_in(key, number), shape, 0.5)))
            if number < len(widths):
                factors.append(nnx.Param(jnp.zeros(shape, jnp.float32)))
        self.matrices, self.biases = nnx.List(matrices), nnx.List(biases)
        self.factors = nnx.List(factors)

    def logit(self, x: Float[Array, "*shape c"]) -> Float[Array, "*shape c"]:
        """Return the logit of the cumulative distribution, which increases in x."""
        h = x.astype(jnp.float32).reshape(-1, x.shape[-1]).T[..., None]  # [c n 1]
        for number, (matrix, bias) in enumerate(zip(self.matrices, self.biases)):
            weights = jax.nn.softplus(matrix[...])
            h = jnp.einsum("cni,cio->cno", h, weights, precision="highest") + bias[...]
            if number < len(self.factors):
                h = h + jnp.tanh(self.factors[number][...]) * jnp.tanh(h)
        return h[..., 0].T.reshape(x.shape)

    def log_mass(self, x: Float[Array, "*shape c"]) -> Float[Array, "*shape c"]:
        """Return the log of the mass between x - 1/2 and x + 1/2, in nats."""
        lower, upper = self.logit(x - 0.5), self.logit(x + 0.5)
        # sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)), precise in both tails.
        gap = jnp.maximum(upper - lower, 1e-9)
        return jax.nn.log_sigmoid(upper) + jax.nn.log_sigmoid(-lower) + jnp.log(-jnp.expm1(-gap))

    def sample(self, key: PRNGKeyArray, shape: Sequence[int]) -> Float[Array, "*shape c"]:
        """Return draws [*shape c], not rounded, by bisection of the cumulative distribution."""
        shape = (*shape, self.matrices[0][...].shape[0])
        target = jax.random.logistic(key, shape)

        def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = ends
            middle = (low + high) / 2
            below = self.logit(middle) < target
            return jnp.where(below, middle, low), jnp.where(below, high, middle)

        ends = (jnp.full(shape, -_WIDEST), jnp.full(shape, _WIDEST))
        low, high = jax.lax.fori_loop(0, _HALVINGS, halve, ends)
        return (low + high) / 2
