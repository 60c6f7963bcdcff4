"""Layers of LTX-Video: RMS norms without a scale, residual blocks, and the embedding of a time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.nn import init
from pipeline.nn.cache import CausalCache
from pipeline.nn.norm import LayerNorm
from pipeline.nn.norm_act_conv import norm_act_conv

Clip = Float[Array, "b _ _ _ _"]
# Makes a convolution (width, out, kernel_size=3, **settings) of one network.
Convs = Callable[..., Any]
FREQUENCIES, LONGEST_PERIOD = 128, 10_000


class ChannelRMS(nnx.Module):
    """x / sqrt(mean(x^2) + eps) over the channels of each pixel, in float32, without a scale."""

    def __init__(self, eps: float = 1e-8):
        self.eps = eps

    def __call__(self, x: Float[Array, "... c"]) -> Float[Array, "... c"]:
        y = x.astype(jnp.float32)
        square = jnp.square(y).mean(axis=-1, keepdims=True)
        return (y * jax.lax.rsqrt(square + self.eps)).astype(x.dtype)


class ResBlock(nnx.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))).

    Where the width changes, x goes through a layer norm and a 1x1x1 convolution.

    Args:
      timed: whether each norm is followed by x (1 + scale) + shift, of the embedded time plus a
        learned table [4, width] of (shift, scale, shift, scale).
      noisy: whether each convolution is followed by noise: one standard normal number for each
        position in a frame, the same in all frames, times a learned scale for each channel.
    """

    def __init__(
        self,
        width: int,
        out: int,
        conv: Convs,
        *,
        timed: bool = False,
        noisy: bool = False,
        key: PRNGKeyArray,
    ):
        self.norm = ChannelRMS()
        self.conv1, self.conv2 = conv(width, out), conv(out, out)
        changes = width != out
        self.shortcut_norm = LayerNorm(width, eps=1e-6) if changes else None
        self.shortcut = conv(width, out, 1) if changes else None
        self.table = nnx.Param(init.normal(key, (4, width), width**-0.5)) if timed else None
        self.noise1 = nnx.Param(jnp.zeros((out,), jnp.float32)) if noisy else None
        self.noise2 = nnx.Param(jnp.zeros((out,), jnp.float32)) if noisy else None

    def __call__(
        self,
        x: Clip,
        cache: CausalCache | None = None,
        time: Float[Array, " c4"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Clip:
        modulation: Any = (None, None)
        if self.table is not None:
            assert time is not None
            shift1, scale1, shift2, scale2 = time.reshape(4, -1) + self.table[...]
            modulation = ((shift1, scale1), (shift2, scale2))
        h = self._convolved(self.conv1, x, cache, modulation[0])
        h = _with_noise(h, self.noise1, key, 0)
        h = self._convolved(self.conv2, h, cache, modulation[1])
        h = _with_noise(h, self.noise2, key, 1)
        if self.shortcut is None:
            return h + x
        assert self.shortcut_norm is not None
        return h + self.shortcut(self.shortcut_norm(x))

    def _convolved(
        self,
        conv: Any,
        x: Clip,
        cache: CausalCache | None,
        modulation: tuple[Array, Array] | None,
    ) -> Clip:
        if modulation is None:
            return norm_act_conv(self.norm, conv, x, cache)
        return conv(nnx.silu(modulated(self.norm(x), *modulation)), cache)


class TimeEmbedding(nnx.Module):
    """A time -> linear(silu(linear(cosines and sines of it)))."""

    def __init__(self, features: int, *, rngs: nnx.Rngs, dtype: Any):
        self.linear1 = nnx.Linear(2 * FREQUENCIES, features, dtype=dtype, rngs=rngs)
        self.linear2 = nnx.Linear(features, features, dtype=dtype, rngs=rngs)

    def __call__(self, time: Float[Array, ""]) -> Float[Array, " features"]:
        rates = LONGEST_PERIOD ** -(jnp.arange(FREQUENCIES, dtype=jnp.float32) / FREQUENCIES)
        angles = time * rates
        waves = jnp.concatenate([jnp.cos(angles), jnp.sin(angles)])[None]
        return self.linear2(nnx.silu(self.linear1(waves)))[0].astype(jnp.float32)


class Blocks(nnx.Module):
    """Residual blocks of one width, with the embedding of the time that conditions them."""

    def __init__(
        self,
        width: int,
        count: int,
        conv: Convs,
        *,
        timed: bool = False,
        noisy: bool = False,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        self.embedding = TimeEmbedding(4 * width, rngs=rngs, dtype=dtype) if timed else None
        self.blocks = nnx.List(
            [
                ResBlock(width, width, conv, timed=timed, noisy=noisy, key=rngs.params())
                for _ in range(count)
            ]
        )

    def __call__(
        self,
        x: Clip,
        cache: CausalCache | None = None,
        time: Float[Array, ""] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Clip:
        embedded = None
        if self.embedding is not None:
            assert time is not None
            embedded = self.embedding(time)
        for index, block in enumerate(self.blocks):
            x = block(x, cache, embedded, None if key is None else jax.random.fold_in(key, index))
        return x


def modulated(x: Clip, shift: Float[Array, " c"], scale: Float[Array, " c"]) -> Clip:
    """Return x (1 + scale) + shift, in the type of x."""
    return (x * (1 + scale) + shift).astype(x.dtype)


def _with_noise(x: Clip, scale: nnx.Param | None, key: PRNGKeyArray | None, place: int) -> Clip:
    if scale is None:
        return x
    assert key is not None
    noise = jax.random.normal(jax.random.fold_in(key, place), x.shape[2:4], jnp.float32)
    return (x + noise[:, :, None] * scale[...]).astype(x.dtype)
