"""Normalisation of feature maps [b h w c] and clips [b t h w c]; statistics and scales in float32.

Where codecs must be causal, statistics are those of a pixel or of a frame, never of several frames.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.backend import cpu_schedule
from pipeline.core.errors import ConfigError


class LayerNorm(nnx.Module):
    """Mean 0 and variance 1 over the channels of each pixel, then a learned scale and shift (1607.06450)."""

    def __init__(self, features: int, *, eps: float = 1e-6):
        self.scale = nnx.Param(jnp.ones((features,), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((features,), jnp.float32))
        self.eps = eps

    def __call__(self, x: Float[Array, "... c"]) -> Float[Array, "... c"]:
        y: Any = _layer_norm(self.eps, x.astype(jnp.float32), self.scale[...], self.bias[...])
        return y.astype(x.dtype)


class RMSNorm(nnx.Module):
    """Root mean square 1 over the channels of each pixel, then a learned scale (1910.07467)."""

    def __init__(self, features: int, *, eps: float = 1e-6):
        self.scale = nnx.Param(jnp.ones((features,), jnp.float32))
        self.eps = eps

    def __call__(self, x: Float[Array, "... c"]) -> Float[Array, "... c"]:
        y = x.astype(jnp.float32)
        y = y * jax.lax.rsqrt(jnp.square(y).mean(axis=-1, keepdims=True) + self.eps)
        return (y * self.scale[...]).astype(x.dtype)


class GroupNorm(nnx.Module):
    """Mean 0 and variance 1 over groups of channels and all pixels (1803.08494), then a learned scale and shift.

    Of a clip these are the pixels of one frame, or with per_frame=False of all frames: then no frame can be coded
    without the others.
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


# The gradients by hand: in those that jax derives, XLA's CPU backend computes what comes before them once more for each
# sum, without vector instructions. With silu, forward and backward on 256x256x128 take 68 ms of CPU time, and took 128
# (torch: 78).


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
    mean = _over_groups(x.mean(axis=-2, keepdims=True), groups)
    inverse = jax.lax.rsqrt(
        _over_groups(jnp.square(x - mean).mean(axis=-2, keepdims=True), groups) + eps
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
        _over_groups(part * scale / pixels, groups) for part in (total, product)
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


def _over_groups(channels: Float[Array, "*b 1 c"], groups: int) -> Float[Array, "*b 1 c"]:
    """The mean of each group, for each of its channels."""
    means = channels.reshape(*channels.shape[:-1], groups, -1).mean(axis=-1)
    return jnp.repeat(means, channels.shape[-1] // groups, axis=-1)
