"""Affine coupling of RealNVP (Dinh et al., 1605.08803, eq. 7 and 8): half of the channels moves the other half."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.core.errors import ConfigError
from pipeline.flows.chain import Chain, Reverse

# Largest log-scale of one coupling, so that no step is far from invertible in float32.
MAX_LOG_SCALE = 2.0


class Coupling(nnx.Module):
    """The second half of the last axis becomes half * exp(s) + t, with s and t a `network` of the first half.

    s is bounded by a tanh, as in the paper.
    """

    def __init__(self, features: int, network: Callable[[int, int], Any]):
        if features < 2:
            raise ConfigError(f"a coupling flow needs 2 channels or more, not {features}")
        self.kept = features // 2
        self.network = network(self.kept, 2 * (features - self.kept))

    def __call__(
        self, z: Float[Array, "b *s d"]
    ) -> tuple[Float[Array, "b *s d"], Float[Array, "b *s d"]]:
        kept, moved = z[..., : self.kept], z[..., self.kept :]
        log_scale, shift = self._scale_and_shift(kept)
        y = jnp.concatenate([kept, moved * jnp.exp(log_scale) + shift], axis=-1)
        return y, jnp.concatenate([jnp.zeros_like(kept), log_scale], axis=-1)

    def inverse(self, y: Float[Array, "b *s d"]) -> Float[Array, "b *s d"]:
        kept, moved = y[..., : self.kept], y[..., self.kept :]
        log_scale, shift = self._scale_and_shift(kept)
        return jnp.concatenate([kept, (moved - shift) * jnp.exp(-log_scale)], axis=-1)

    def _scale_and_shift(self, kept: Array) -> tuple[Array, Array]:
        raw, shift = jnp.split(self.network(kept), 2, axis=-1)
        return MAX_LOG_SCALE * jnp.tanh(raw / MAX_LOG_SCALE), shift


class MLP(nnx.Module):
    """One hidden layer of ReLUs; the last layer begins at `last_scale` of its usual size."""

    def __init__(
        self, inputs: int, outputs: int, hidden: int, *, last_scale: float = 0.1, key: PRNGKeyArray
    ):
        rngs = nnx.Rngs(key)
        small = nnx.initializers.variance_scaling(last_scale**2, "fan_in", "normal")
        self.first = nnx.Linear(inputs, hidden, rngs=rngs)
        self.last = nnx.Linear(hidden, outputs, kernel_init=small, rngs=rngs)

    def __call__(self, x: Float[Array, "b c"]) -> Float[Array, "b d"]:
        return self.last(nnx.relu(self.first(x)))


class RealNVP(Chain):
    """`depth` couplings of vectors, the halves changing places after each."""

    def __init__(self, features: int, *, depth: int = 2, hidden: int = 64, key: PRNGKeyArray):
        flows = []
        for index in range(depth):
            one = jax.random.fold_in(key, index)
            flows += [
                Coupling(features, lambda i, o, one=one: MLP(i, o, hidden, key=one)),
                Reverse(),
            ]
        super().__init__(flows)
