"""Affine coupling of RealNVP (Dinh et al., 1605.08803, eq. 7 and 8)."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.core.errors import ConfigError
from pipeline.flows.chain import Chain, Reverse

# The largest log-scale of one coupling, so that no step is far from invertible in float32.
MAX_LOG_SCALE = 2.0


class Coupling(nnx.Module):
    """The second half of the features becomes half * exp(s) + t, with s and t of the first half.

    s is bounded by a tanh, as in the paper. The network has one hidden layer of ReLUs; its last
    layer is initialized at a tenth of the usual scale.
    """

    def __init__(self, features: int, hidden: int, *, key: PRNGKeyArray):
        if features < 2:
            raise ConfigError(f"a coupling flow needs 2 features or more, not {features}")
        self.kept = features // 2
        rngs = nnx.Rngs(key)
        small = nnx.initializers.variance_scaling(0.01, "fan_in", "normal")
        self.first = nnx.Linear(self.kept, hidden, rngs=rngs)
        self.last = nnx.Linear(hidden, 2 * (features - self.kept), kernel_init=small, rngs=rngs)

    def __call__(self, z: Float[Array, "b d"]) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        kept, moved = z[:, : self.kept], z[:, self.kept :]
        log_scale, shift = self._scale_and_shift(kept)
        y = jnp.concatenate([kept, moved * jnp.exp(log_scale) + shift], axis=-1)
        return y, jnp.concatenate([jnp.zeros_like(kept), log_scale], axis=-1)

    def inverse(self, y: Float[Array, "b d"]) -> Float[Array, "b d"]:
        kept, moved = y[:, : self.kept], y[:, self.kept :]
        log_scale, shift = self._scale_and_shift(kept)
        return jnp.concatenate([kept, (moved - shift) * jnp.exp(-log_scale)], axis=-1)

    def _scale_and_shift(self, kept: Array) -> tuple[Array, Array]:
        raw, shift = jnp.split(self.last(nnx.relu(self.first(kept))), 2, axis=-1)
        return MAX_LOG_SCALE * jnp.tanh(raw / MAX_LOG_SCALE), shift


class RealNVP(Chain):
    """`depth` couplings, the order of the features reversed after each."""

    def __init__(self, features: int, *, depth: int = 2, hidden: int = 64, key: PRNGKeyArray):
        flows = []
        for step_key in jax.random.split(key, depth):
            flows += [Coupling(features, hidden, key=step_key), Reverse()]
        super().__init__(flows)
