"""The encoder and decoder of VQ-VAE (arXiv 1711.00937, section 4.1), as in the Sonnet library.

Strided 4x4 convolutions halve the resolution, and transposed ones double it; between them are
residual blocks. There are no norms.
"""

import itertools
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.nn.conv import Conv, TransposedConv
from pipeline.nn.remat import run

Map = Float[Array, "b _ _ _"]


class Residual(nnx.Module):
    """x + conv 1x1(relu(conv 3x3(relu(x))))."""

    def __init__(self, width: int, hidden: int, *, rngs: nnx.Rngs, dtype: Any):
        self.spatial = _conv(width, hidden, 3, rngs, dtype)
        self.pointwise = _conv(hidden, width, 1, rngs, dtype)

    def __call__(self, x: Map) -> Map:
        return x + self.pointwise(nnx.relu(self.spatial(nnx.relu(x))))


class Trunk(nnx.Module):
    """Images or features [b h w c] -> features of 1 / 2^halvings of their height and width.

    Args:
      in_channels: channels of what it takes.
      width: channels of all feature maps but the first, which has half as many.
      hidden: channels inside a residual block.
      depth: residual blocks.
      halvings: convolutions of stride 2.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        width: int = 128,
        hidden: int = 32,
        depth: int = 2,
        halvings: int = 2,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.spatial_factor = _spatial_factor(halvings)
        widths = [in_channels, width // 2, *[width] * (halvings - 1)]
        self.halving = nnx.List(
            [_conv(i, o, 4, rngs, dtype, stride=2) for i, o in itertools.pairwise(widths)]
        )
        self.conv = _conv(widths[-1], width, 3, rngs, dtype)
        self.blocks = nnx.List(
            [Residual(width, hidden, rngs=rngs, dtype=dtype) for _ in range(depth)]
        )

    def features(self, x: Map, *, remat: bool = False) -> Map:
        """Return the features, which are 0 or above."""
        for conv in self.halving:
            x = nnx.relu(conv(x))
        x = nnx.relu(self.conv(x))
        for block in self.blocks:
            x = run(block, x, remat=remat)
        return nnx.relu(x)


class Encoder(Trunk):
    """Images [b h w c] in [-1, 1] -> features of 1 / 2^halvings of their height and width.

    The arguments are the trunk's; a 1x1 convolution follows it.
    """

    is_video, temporal_factor, causal = False, 1, False

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        width: int = 128,
        hidden: int = 32,
        depth: int = 2,
        halvings: int = 2,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        sizes = dict(in_channels=in_channels, width=width, hidden=hidden, depth=depth)
        super().__init__(**sizes, halvings=halvings, rngs=rngs, dtype=dtype)
        self.out_channels = out_channels
        self.conv_out = _conv(width, out_channels, 1, rngs, dtype)

    def __call__(self, x: Map, *, remat: bool = False) -> tuple[Map, dict[str, Any]]:
        return self.conv_out(self.features(x, remat=remat)), {}


class Decoder(nnx.Module):
    """Latents [b h w d] -> images around [-1, 1], 2^halvings times as high and wide.

    The arguments are the encoder's.
    """

    is_video, temporal_factor, causal = False, 1, False

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        width: int = 128,
        hidden: int = 32,
        depth: int = 2,
        halvings: int = 2,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.spatial_factor = _spatial_factor(halvings)
        self.out_channels = out_channels
        self.last_layer = f"doubling.{halvings - 1}.kernel"
        self.conv_in = _conv(in_channels, width, 3, rngs, dtype)
        self.blocks = nnx.List(
            [Residual(width, hidden, rngs=rngs, dtype=dtype) for _ in range(depth)]
        )
        narrow = [width // 2] if halvings > 1 else []
        widths = [*[width] * max(1, halvings - 1), *narrow, out_channels]
        self.doubling = nnx.List(
            [
                TransposedConv(i, o, bias_scale=1.0, key=rngs.params(), dtype=dtype)
                for i, o in itertools.pairwise(widths)
            ]
        )

    def __call__(self, z: Map, *, remat: bool = False) -> tuple[Map, dict[str, Any]]:
        x = self.conv_in(z)
        for block in self.blocks:
            x = run(block, x, remat=remat)
        for conv in self.doubling:
            x = conv(nnx.relu(x))
        return x.astype(jnp.float32), {}


def _spatial_factor(halvings: int) -> int:
    if halvings < 1:
        raise ConfigError(f"halvings={halvings} of residual_stack must be above 0")
    return 2**halvings


def _conv(
    width: int, out: int, kernel_size: int, rngs: nnx.Rngs, dtype: Any, stride: int = 1
) -> Conv:
    return Conv(
        width,
        out,
        kernel_size,
        stride=stride,
        padding=(1, 1) if stride == 2 else None,
        bias_scale=1.0,
        key=rngs.params(),
        dtype=dtype,
    )
