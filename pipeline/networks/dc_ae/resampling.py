"""Halving and doubling of a resolution in DC-AE, with shortcuts that have no parameters."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.nn.conv import Conv, UpsamplingConv
from pipeline.nn.space_to_channel import channel_to_space, space_to_channel

Map = Float[Array, "b _ _ _"]


def average_channels(x: Float[Array, "*n c"], out: int) -> Float[Array, "*n d"]:
    """Return `out` channels, each the mean of as many consecutive ones."""
    return x.reshape(*x.shape[:-1], out, -1).mean(axis=-1)


def repeat_channels(x: Float[Array, "*n c"], out: int) -> Float[Array, "*n d"]:
    """Return `out` channels: each of x as many times in a row."""
    return jnp.repeat(x, out // x.shape[-1], axis=-1)


def check_multiple(more: int, fewer: int, what: str) -> None:
    """Check that channels can be averaged or repeated. Raises ConfigError."""
    if more % fewer:
        raise ConfigError(f"DC-AE: {what}: {more} must be a multiple of {fewer}")


class Halving(nnx.Module):
    """Height and width / 2, by a convolution whose result has pixels moved into channels, or
    (strided) by one of stride 2.

    The shortcut adds the input with pixels moved into channels, of which groups are averaged.
    """

    def __init__(
        self,
        width: int,
        out: int,
        *,
        strided: bool = False,
        shortcut: bool = True,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        if not strided:
            check_multiple(out, 4, "channels after a halving")
        if shortcut:
            check_multiple(4 * width, out, "channels of a halving's shortcut")
        same: Any = dict(bias_scale=1.0, key=rngs.params(), dtype=dtype)
        if strided:
            self.conv = Conv(width, out, 3, stride=2, padding=(1, 1), **same)
        else:
            self.conv = Conv(width, out // 4, 3, **same)
        self.out, self.strided, self.shortcut = out, strided, shortcut

    def __call__(self, x: Map) -> Map:
        y = self.conv(x)
        y = y if self.strided else space_to_channel(y, 2)
        if not self.shortcut:
            return y
        return y + average_channels(space_to_channel(x, 2), self.out).astype(y.dtype)


class Doubling(nnx.Module):
    """Height and width * 2, by a convolution whose channels are moved into pixels, or (upsampled)
    by one of the input with its pixels repeated.

    The shortcut adds the input with channels repeated and moved into pixels.
    """

    def __init__(
        self,
        width: int,
        out: int,
        *,
        upsampled: bool = False,
        shortcut: bool = True,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        if shortcut:
            check_multiple(4 * out, width, "channels of a doubling's shortcut")
        same: Any = dict(bias_scale=1.0, key=rngs.params(), dtype=dtype)
        self.conv = (
            UpsamplingConv(width, out, **same) if upsampled else Conv(width, 4 * out, 3, **same)
        )
        self.out, self.upsampled, self.shortcut = out, upsampled, shortcut

    def __call__(self, x: Map) -> Map:
        y = self.conv(x)
        y = y if self.upsampled else channel_to_space(y, 2)
        if not self.shortcut:
            return y
        return y + channel_to_space(repeat_channels(x, 4 * self.out), 2).astype(y.dtype)
