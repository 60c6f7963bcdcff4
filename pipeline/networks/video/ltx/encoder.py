"""The encoder of LTX-Video and LTX-2."""

import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx

from pipeline.core.errors import ConfigError
from pipeline.networks.video.ltx.layers import Blocks, ChannelRMS, Clip, Convs, ResBlock
from pipeline.networks.video.ltx.resample import (
    FACTORS,
    PackingDown,
    check_kinds,
    factor,
)
from pipeline.nn.cache import CausalCache
from pipeline.nn.conv3d import CausalConv3d
from pipeline.nn.norm_act_conv import norm_act_conv
from pipeline.nn.remat import run
from pipeline.nn.space_to_channel import patchify

DOWNS = ("conv", "none", *FACTORS)


class Level(nnx.Module):
    """Residual blocks, a halving, and, unless that packs into `out` channels, a block to `out`."""

    def __init__(
        self,
        width: int,
        out: int,
        num_blocks: int,
        down: str,
        conv: Convs,
        *,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        self.blocks = Blocks(width, num_blocks, conv, rngs=rngs, dtype=dtype)
        halving: nnx.Module | None = None
        if down == "conv":
            halving = conv(width, width, stride=2, space_width=(1, 1))
        elif down in FACTORS:
            halving = PackingDown(width, out, FACTORS[down], conv)
        self.down: Any = halving
        widens = down not in FACTORS and width != out
        self.widen = ResBlock(width, out, conv, key=rngs.params()) if widens else None

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        x = self.blocks(x, cache)
        x = x if self.down is None else self.down(x, cache)
        return x if self.widen is None else self.widen(x, cache)


class Encoder(nnx.Module):
    """Clips [b t h w c] in [-1, 1] of 1 + 8k frames -> features [b 1+k h/32 w/32 d].

    The defaults are the sizes of LTX-Video 0.9.0.

    Args:
      channels: the width of the first convolution, then that after each level.
      num_blocks: residual blocks of each level, then those of the middle.
      downs: how each level halves: "conv", a convolution with stride 2 along all axes;
        "spatial", "temporal" or "spatiotemporal", a convolution whose blocks of pixels become
        channels; or "none".
      patch: side of the patches of pixels that the network sees.
      space_padding: "zeros", "replicate" or "reflect" beyond the edges of a frame.
    """

    is_video, causal = True, True

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 256, 512, 512, 512),
        num_blocks: Sequence[int] = (4, 3, 3, 3, 4),
        downs: Sequence[str] = ("conv", "conv", "conv", "none"),
        patch: int = 4,
        space_padding: str = "zeros",
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        check_kinds(downs, DOWNS, "downs of video.ltx.Encoder")
        if not len(channels) == len(num_blocks) == len(downs) + 1:
            raise ConfigError(
                f"video.ltx.Encoder: downs has {len(downs)} levels, so channels and num_blocks "
                f"must have {len(downs) + 1} numbers, not {len(channels)} and {len(num_blocks)}"
            )

        def conv(width: int, out: int, size: int = 3, **settings: Any) -> CausalConv3d:
            settings |= dict(space_padding=space_padding, key=rngs.params(), dtype=dtype)
            return CausalConv3d(width, out, size, **settings)

        same: Any = dict(rngs=rngs, dtype=dtype)
        self.patch, self.out_channels = patch, out_channels
        self.spatial_factor: int = patch * factor(downs, 1, packed=["conv"])
        self.temporal_factor: int = factor(downs, 0, packed=["conv"])
        self.conv_in = conv(in_channels * patch**2, channels[0])
        pairs = zip(itertools.pairwise(channels), num_blocks, downs)
        self.levels = nnx.List(
            [Level(i, o, count, down, conv, **same) for (i, o), count, down in pairs]
        )
        self.middle = Blocks(channels[-1], num_blocks[-1], conv, **same)
        self.norm_out = ChannelRMS()
        self.conv_out = conv(channels[-1], out_channels)

    def __call__(
        self, x: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, Any]]:
        x = self.conv_in(patchify(x, self.patch), cache)
        for level in (*self.levels, self.middle):
            x = run(level, x, cache, remat=remat)
        return norm_act_conv(self.norm_out, self.conv_out, x, cache), {}
