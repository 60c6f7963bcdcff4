"""The encoder of DC-AE."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.networks.dc_ae.blocks import AttentionBlock, ResBlock
from pipeline.networks.dc_ae.levels import Level, check_levels, make_blocks, run_level
from pipeline.networks.dc_ae.resampling import Halving, average_channels, check_multiple
from pipeline.nn.conv import Conv

Map = Float[Array, "b _ _ _"]


class Encoder(nnx.Module):
    """Images [b h w c] in [-1, 1] -> features of 1 / spatial_factor of their height and width.

    Args:
      channels: widths from the image's resolution down; the resolution is halved between them.
      depths: blocks at each resolution. With none at the image's, the first convolution halves it.
      attention_levels: resolutions, counted from the image's down, whose blocks attend.
      head_dim: channels of a head of the attention.
      kernel_sizes: neighborhoods of further heads, in pixels.
      strided: halve by strided convolutions, in place of moving pixels into channels.
      shortcut: add to the features averages of the last level's channels.
    """

    is_video, temporal_factor, causal = False, 1, False

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 256, 512, 512, 1024, 1024),
        depths: Sequence[int] = (0, 4, 8, 2, 2, 2),
        attention_levels: Sequence[int] = (3, 4, 5),
        head_dim: int = 32,
        kernel_sizes: Sequence[int] = (),
        strided: bool = False,
        shortcut: bool = True,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        check_levels(channels, depths, attention_levels)
        if shortcut:
            check_multiple(channels[-1], out_channels, "channels of the lowest resolution")
        self.spatial_factor, self.out_channels = 2 ** (len(channels) - 1), out_channels
        self.shortcut = shortcut
        same: Any = dict(rngs=rngs, dtype=dtype)

        def blocks(level: int) -> list[ResBlock | AttentionBlock]:
            attention: Any = dict(head_dim=head_dim, kernel_sizes=kernel_sizes)
            attends = level in attention_levels
            return make_blocks(channels[level], depths[level], attends=attends, **attention, **same)

        def down(level: int) -> Halving | None:
            if level == len(channels) - 1 or not depths[level]:
                return None
            return Halving(channels[level], channels[level + 1], strided=strided, **same)

        if depths[0]:
            self.conv_in = _conv(in_channels, channels[0], rngs, dtype)
        else:
            self.conv_in = Halving(
                in_channels, channels[1], strided=strided, shortcut=False, **same
            )
        self.levels = nnx.List(
            [Level(blocks(level), down=down(level)) for level in range(len(channels))]
        )
        self.conv_out = _conv(channels[-1], out_channels, rngs, dtype)

    def __call__(self, x: Map, *, remat: bool = False) -> tuple[Map, dict[str, Any]]:
        x = self.conv_in(x)
        for level in self.levels:
            x = run_level(level, x, None, remat)
        y = self.conv_out(x)
        return (y + average_channels(x, self.out_channels) if self.shortcut else y), {}


def _conv(width: int, out: int, rngs: nnx.Rngs, dtype: Any) -> Conv:
    return Conv(width, out, 3, bias_scale=1.0, key=rngs.params(), dtype=dtype)
