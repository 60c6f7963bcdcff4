"""The decoder of DC-AE."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.networks.dc_ae.blocks import AttentionBlock, PixelNorm, ResBlock
from pipeline.networks.dc_ae.levels import Level, check_levels, make_blocks, run_level
from pipeline.networks.dc_ae.resampling import Doubling, check_multiple, repeat_channels
from pipeline.nn.conv import Conv
from pipeline.nn.norm import Momentum

Map = Float[Array, "b _ _ _"]


class Decoder(nnx.Module):
    """Latents [b h w d] -> images around [-1, 1], spatial_factor times as high and wide.

    `channels`, `depths`, `attention_levels`, `head_dim` and `kernel_sizes` are as the encoder's, in
    the same order.

    Args:
      batch_norm_levels: resolutions whose blocks have batch norm in place of RMS norm.
      relu_levels: resolutions whose residual blocks have ReLU in place of silu.
      upsampled: double by convolutions of repeated pixels, in place of moving channels into pixels.
      shortcut: add repetitions of the latents' channels to the first convolution.
    """

    is_video, temporal_factor, causal = False, 1, False

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 256, 512, 512, 1024, 1024),
        depths: Sequence[int] = (0, 5, 10, 2, 2, 2),
        attention_levels: Sequence[int] = (3, 4, 5),
        head_dim: int = 32,
        kernel_sizes: Sequence[int] = (),
        batch_norm_levels: Sequence[int] = (),
        relu_levels: Sequence[int] = (),
        upsampled: bool = False,
        shortcut: bool = True,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        check_levels(channels, depths, (*attention_levels, *batch_norm_levels, *relu_levels))
        if shortcut:
            check_multiple(channels[-1], in_channels, "channels of the lowest resolution")
        self.spatial_factor, self.out_channels = 2 ** (len(channels) - 1), out_channels
        self.shortcut, self.width = shortcut, channels[-1]
        # Whether `momentum` changes anything.
        self.has_running_statistics = any(depths[level] for level in batch_norm_levels)
        same: Any = dict(rngs=rngs, dtype=dtype)

        def blocks(level: int) -> list[ResBlock | AttentionBlock]:
            return make_blocks(
                channels[level],
                depths[level],
                attends=level in attention_levels,
                head_dim=head_dim,
                kernel_sizes=kernel_sizes,
                batch_norm=level in batch_norm_levels,
                relu=level in relu_levels,
                **same,
            )

        def up(level: int) -> Doubling | None:
            if level == len(channels) - 1 or not depths[level]:
                return None
            return Doubling(channels[level + 1], channels[level], upsampled=upsampled, **same)

        self.conv_in = _conv(in_channels, channels[-1], rngs, dtype)
        # In the encoder's order, as the weights' names have them; the last level comes first.
        self.levels = nnx.List(
            [Level(blocks(level), up=up(level)) for level in range(len(channels))]
        )
        width = channels[0] if depths[0] else channels[1]
        self.norm_out = PixelNorm(width)
        if depths[0]:
            self.conv_out = _conv(width, out_channels, rngs, dtype)
        else:
            self.conv_out = Doubling(
                width, out_channels, upsampled=upsampled, shortcut=False, **same
            )
        self.last_layer = "conv_out.kernel" if depths[0] else "conv_out.conv.kernel"

    def __call__(
        self, z: Map, *, remat: bool = False, momentum: Momentum = None
    ) -> tuple[Map, dict[str, Any]]:
        """Decode latents; with `momentum`, normalize by the batch (pipeline.nn.norm.BatchNorm)."""
        x = self.conv_in(z)
        if self.shortcut:
            x = x + repeat_channels(z, self.width).astype(x.dtype)
        for level in reversed(self.levels):
            x = run_level(level, x, momentum, remat)
        return self.conv_out(nnx.relu(self.norm_out(x))).astype(jnp.float32), {}


def _conv(width: int, out: int, rngs: nnx.Rngs, dtype: Any) -> Conv:
    return Conv(width, out, 3, bias_scale=1.0, key=rngs.params(), dtype=dtype)
