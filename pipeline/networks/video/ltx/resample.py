"""Halvings and doublings of LTX-Video, which move blocks of pixels into channels and back."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx

from pipeline.core.errors import ConfigError
from pipeline.networks.video.ltx.layers import Clip, Convs
from pipeline.nn.cache import CausalCache, starts_clip
from pipeline.nn.space_to_channel import pack, unpack

# Factors of frames, rows and columns.
FACTORS = {"spatial": (1, 2, 2), "temporal": (2, 1, 1), "spatiotemporal": (2, 2, 2)}


class PackingDown(nnx.Module):
    """A convolution whose blocks of pixels become channels, plus x packed and averaged to `out`.

    Where time is halved, the first frame of a clip counts twice: 1 + 2k frames become 1 + k.
    """

    def __init__(self, width: int, out: int, factors: tuple[int, int, int], conv: Convs):
        size = factors[0] * factors[1] * factors[2]
        if out % size or (width * size) % out:
            raise ConfigError(
                f"a level of LTX-Video that packs {size} pixels into one cannot go from {width} to "
                f"{out} channels: {out} must be a multiple of {size}, and divide {width * size}"
            )
        self.conv = conv(width, out // size)
        self.factors, self.out = factors, out

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        if self.factors[0] > 1 and starts_clip(cache):
            x = jnp.concatenate([x[:, :1], x], axis=1)
        packed = pack(x, self.factors)
        average = packed.reshape(*packed.shape[:-1], self.out, -1).mean(axis=-1)
        return pack(self.conv(x, cache), self.factors) + average


class UnpackingUp(nnx.Module):
    """A convolution whose channels become blocks of pixels, with `residual` plus x unpacked.

    x has too few channels for that, which are repeated one after another. Where time is doubled,
    the first frame of a clip is dropped: 1 + k frames become 1 + 2k.
    """

    def __init__(
        self, width: int, out: int, factors: tuple[int, int, int], residual: bool, conv: Convs
    ):
        size = factors[0] * factors[1] * factors[2]
        if residual and (width % size or (out * size) % width):
            raise ConfigError(
                f"a level of LTX-Video that unpacks one pixel into {size} cannot repeat {width} "
                f"channels to {out}: {width} must be a multiple of {size}, and divide {out * size}"
            )
        self.conv = conv(width, out * size)
        self.factors, self.residual = factors, residual

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        y = unpack(self.conv(x, cache), self.factors)
        if self.residual:
            unpacked = unpack(x, self.factors)
            y = y + jnp.tile(unpacked, y.shape[-1] // unpacked.shape[-1])
        return y[:, self.factors[0] - 1 :] if starts_clip(cache) else y


def factor(kinds: Sequence[str], axis: int, packed: Sequence[str] = ()) -> int:
    """Return by how much levels of these kinds change the size along time (0) or height (1).

    Kinds in `packed` count as halvings of every axis.
    """
    total = 1
    for kind in kinds:
        total *= 2 if kind in packed else FACTORS[kind][axis] if kind in FACTORS else 1
    return total


def check_kinds(kinds: Sequence[str], known: Sequence[str], setting: str) -> None:
    """Check the kinds of a network's levels. Raises ConfigError for an unknown one."""
    for kind in kinds:
        if kind not in known:
            raise ConfigError(f"{setting} has {kind!r}, which must be one of {', '.join(known)}")
