"""Normalization of feature maps [b h w c] and clips [b t h w c]; statistics and scales in float32.

Where codecs must be causal, statistics are taken over a pixel or a frame, never over several
frames. Batch normalization's running statistics are variables of the model and not parameters: the
training state and checkpoints hold them.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.backend import cpu_schedule
from pipeline.core.errors import ConfigError

# The weight of a batch in BatchNorm's running statistics, which then average about twenty batches.
# Layers are called with a number, or with None to normalize by the running statistics and leave
# them unchanged.
MOMENTUM = 0.05
Momentum = Any


class LayerNorm(nnx.Module):
    """Normalization over the channels of each pixel (1607.06450), then a scale and a shift.

    Args:
      affine: whether there are a scale and a shift.
    """

    def __init__(self, features: int, *, eps: float = 1e-6, affine: bool = True):
        self.scale = nnx.Param(jnp.ones((features,), jnp.float32)) if affine else None
        self.bias = nnx.Param(jnp.zeros((features,), jnp.float32)) if affine else None
        self.eps = eps

    def __call__(self, x: Float[Array, "... c"]) -> Float[Array, "... c"]:
        if self.scale is None or self.bias is None:
            scale, bias = jnp.ones(x.shape[-1:]), jnp.zeros(x.shape[-1:])
        else:
            scale, bias = self.scale[...], self.bias[...]
        y: Any = _layer_norm(self.eps, x.astype(jnp.float32), scale, bias)
        return y.astype(x.dtype)


class RMSNorm(nnx.Module):
    """Division by the root mean square over a pixel's channels (1910.07467), then a scale.

    Args:
      eps: added to the mean square. With a tiny one it is the scaled unit vector of codecs such as
        Wan: sqrt(c) x / |x|, and 0 of 0.
      scale, bias: whether there is a learned scale, and a learned shift after it.
    """

    def __init__(self, features: int, *, eps: float = 1e-6, scale: bool = True, bias: bool = False):
        self.scale = nnx.Param(jnp.ones((features,), jnp.float32)) if scale else None
        self.bias = nnx.Param(jnp.zeros((features,), jnp.float32)) if bias else None
        self.eps = eps

    def __call__(self, x: Float[Array, "... c"]) -> Float[Array, "... c"]:
        y = x.astype(jnp.float32)
        y = y * jax.lax.rsqrt(jnp.square(y).mean(axis=-1, keepdims=True) + self.eps)
        y = y if self.scale is None else y * self.scale[...]
        y = y if self.bias is None else y + self.bias[...]
        return y.astype(x.dtype)


class GroupNorm(nnx.Module):
    """Normalization over groups of channels and all pixels (1803.08494), then a scale and a shift.

    Statistics are taken over the pixels of one frame, or, with per_frame=False, over all frames of
    a clip: then no frame can be coded without the others.
    """

    def __init__(
        self, features: int, *, groups: int = 32, eps: float = 1e-6, per_frame: bool = True
    ):
        if features % groups:
            raise ConfigError(f"group norm: groups={groups} must divide {features} channels")
        self.scale = nnx.Param(jnp.ones((features,), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((features,), jnp.float32))
        self.groups, self.eps, self.per_frame = groups, eps, per_frame

    def __call__(self, x: Float[Array, "b *t h w c"]) -> Float[Array, "b *t h w c"]:
        examples = x.shape[:-3] if self.per_frame else x.shape[:1]
        flat = x.astype(jnp.float32).reshape(*examples, -1, x.shape[-1])
        y: Any = _group_norm(self.groups, self.eps, flat, self.scale[...], self.bias[...])
        return y.astype(x.dtype).reshape(x.shape)


class CurrentBatchNorm(nnx.Module):
    """Batch normalization (1502.03167) by the current batch, without running statistics.

    Each channel gets mean 0 and variance 1 over the global batch and its pixels, then a learned
    scale and shift. Nothing here names a device: under jit the means are over all devices that
    share a batch.
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
    """Batch normalization with running statistics.

    The running variance follows a batch's unbiased variance, as torch's does.

    Attributes:
      frozen: whether it normalizes by the running statistics in training too, and keeps them.
    """

    def __init__(self, features: int, *, eps: float = 1e-5):
        super().__init__(features, eps=eps)
        self.mean = nnx.BatchStat(jnp.zeros((features,), jnp.float32))
        self.variance = nnx.BatchStat(jnp.ones((features,), jnp.float32))
        self.frozen = False

    def __call__(
        self, x: Float[Array, "b h w c"], momentum: Momentum = None
    ) -> Float[Array, "b h w c"]:
        y = x.astype(jnp.float32)
        if momentum is None or self.frozen:
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
    """Return the mean and the biased variance of each channel."""
    count = y.size // y.shape[-1]
    mean = _sum_to_channels(y) / count
    return mean, _sum_to_channels(jnp.square(y - mean)) / count


def _sum_to_channels(x: Float[Array, "b *t h w c"]) -> Float[Array, " c"]:
    # Two sums keep XLA's CPU backend vectorized: 1 ms on 4x64x64x192, against 8 ms for one sum.
    return x.sum(axis=tuple(range(x.ndim - 2))).sum(axis=0)


# The gradients of layer and group norm are written by hand: in the derived ones, XLA's CPU backend
# recomputes the inputs of each sum, without vector instructions. With silu, forward and backward on
# 256x256x128 take 68 ms of CPU time instead of 128 (torch: 78).


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _layer_norm(
    eps: float, x: Float[Array, "*n c"], scale: Float[Array, " c"], bias: Float[Array, " c"]
) -> Float[Array, "*n c"]:
    return _layer_norm_forward(eps, x, scale, bias)[0]


def _layer_norm_forward(eps: float, x: Array, scale: Array, bias: Array) -> tuple[Array, Any]:
    mean = x.mean(axis=-1, keepdims=True)
    inverse = jax.lax.rsqrt(jnp.square(x - mean).mean(axis=-1, keepdims=True) + eps)
    return (x - mean) * inverse * scale + bias, (x, scale, mean, inverse)


def _layer_norm_backward(eps: float, saved: Any, grad: Array) -> tuple[Array, Array, Array]:
    del eps
    x, scale, mean, inverse = saved
    standard = (x - mean) * inverse
    total, product = cpu_schedule.sum_of_all(grad), cpu_schedule.sum_of_all(grad * standard)
    grad = grad * cpu_schedule.after([total, product], scale)
    mean_total, mean_product = (
        part.mean(axis=-1, keepdims=True) for part in (grad, grad * standard)
    )
    return inverse * (grad - mean_total - standard * mean_product), product, total


_layer_norm.defvjp(_layer_norm_forward, _layer_norm_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _group_norm(
    groups: int,
    eps: float,
    x: Float[Array, "*b n c"],
    scale: Float[Array, " c"],
    bias: Float[Array, " c"],
) -> Float[Array, "*b n c"]:
    return _group_norm_forward(groups, eps, x, scale, bias)[0]


def _group_norm_forward(
    groups: int, eps: float, x: Array, scale: Array, bias: Array
) -> tuple[Array, Any]:
    mean = _group_means(x.mean(axis=-2, keepdims=True), groups)
    inverse = jax.lax.rsqrt(
        _group_means(jnp.square(x - mean).mean(axis=-2, keepdims=True), groups) + eps
    )
    return (x - mean) * (inverse * scale) + bias, (x, scale, mean, inverse)


def _group_norm_backward(
    groups: int, eps: float, saved: Any, grad: Array
) -> tuple[Array, Array, Array]:
    del eps
    x, scale, mean, inverse = saved
    grad = jax.lax.optimization_barrier(grad)
    total, product = (
        cpu_schedule.sum_of_pixels(grad),
        cpu_schedule.sum_of_pixels(grad * (x - mean)) * inverse,
    )
    pixels, channels = x.shape[-2:]
    scale = cpu_schedule.after([total, product], scale)
    mean_total, mean_product = (
        _group_means(part * scale / pixels, groups) for part in (total, product)
    )
    x_grad = (
        grad * (inverse * scale)
        - (x - mean) * (jnp.square(inverse) * mean_product)
        - inverse * mean_total
    )
    return (
        x_grad,
        product.reshape(-1, channels).sum(axis=0),
        total.reshape(-1, channels).sum(axis=0),
    )


_group_norm.defvjp(_group_norm_forward, _group_norm_backward)


def _group_means(channels: Float[Array, "*b 1 c"], groups: int) -> Float[Array, "*b 1 c"]:
    """Return the mean of each group, repeated for each of its channels."""
    means = channels.reshape(*channels.shape[:-1], groups, -1).mean(axis=-1)
    return jnp.repeat(means, channels.shape[-1] // groups, axis=-1)
