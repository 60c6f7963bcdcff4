"""Batch normalisation of feature maps and clips (1502.03167), over the whole batch however a mesh splits it.

Running statistics are variables of the model, and no parameters: the training state keeps them, and checkpoints hold
them. Everything is float32 inside, whatever the feature maps are.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

# How far running statistics go to those of a batch, of which they are then an average over about twenty. What a layer
# is called with is this or another number, or None to normalise by the running statistics and leave them.
MOMENTUM = 0.05
Momentum = Any


class CurrentBatchNorm(nnx.Module):
    """Mean 0 and variance 1 of each channel over the batch at hand and its pixels, then a learned scale and shift.

    Nothing here names a device: jit takes the means over the global batch, with a sum over the devices that share it.
    """

    def __init__(self, features: int, *, eps: float = 1e-5):
        self.scale = nnx.Param(jnp.ones((features,), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((features,), jnp.float32))
        self.eps = eps

    def __call__(self, x: Float[Array, "b *t h w c"]) -> Float[Array, "b *t h w c"]:
        y = x.astype(jnp.float32)
        return self._scaled(y, *_moments(y)).astype(x.dtype)

    def _scaled(self, y: Array, mean: Array, variance: Array) -> Array:
        return (y - mean) * (jax.lax.rsqrt(variance + self.eps) * self.scale[...]) + self.bias[...]


class BatchNorm(CurrentBatchNorm):
    """The same with running statistics.

    The running variance takes the unbiased one of a batch, as torch's does.
    """

    def __init__(self, features: int, *, eps: float = 1e-5):
        super().__init__(features, eps=eps)
        self.mean = nnx.BatchStat(jnp.zeros((features,), jnp.float32))
        self.variance = nnx.BatchStat(jnp.ones((features,), jnp.float32))

    def __call__(
        self, x: Float[Array, "b h w c"], momentum: Momentum = None
    ) -> Float[Array, "b h w c"]:
        y = x.astype(jnp.float32)
        if momentum is None:
            mean, variance = self.mean[...], self.variance[...]
        else:
            count = y.size // y.shape[-1]
            mean, variance = _moments(y)
            self._follow(self.mean, mean, momentum)
            self._follow(self.variance, variance * (count / max(1, count - 1)), momentum)
        return self._scaled(y, mean, variance).astype(x.dtype)

    def _follow(self, running: Any, batch: Array, momentum: Momentum) -> None:
        running[...] = running[...] + momentum * (jax.lax.stop_gradient(batch) - running[...])


def _moments(y: Float[Array, "b *t h w c"]) -> tuple[Float[Array, " c"], Float[Array, " c"]]:
    """Mean and variance of each channel."""
    count = y.size // y.shape[-1]
    mean = _sum(y) / count
    return mean, _sum(jnp.square(y - mean)) / count


def _sum(x: Float[Array, "b *t h w c"]) -> Float[Array, " c"]:
    # In two parts XLA's CPU backend keeps vector instructions: 1 ms on 4x64x64x192 beside 8 for one sum.
    return x.sum(axis=tuple(range(x.ndim - 2))).sum(axis=0)
