"""The transforms of learned image compression (arXiv 1802.01436, figure 4): 5x5 kernels and GDN.

Four convolutions of stride 2 with divisive normalization between them, and their mirror image.
"""

import itertools
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.backend.halo import with_halo_exchange
from pipeline.nn.conv import Conv
from pipeline.nn.gdn import GDN
from pipeline.nn.remat import run

Map = Float[Array, "b _ _ _"]
_HALVINGS = 4


class Encoder(nnx.Module):
    """Images [b h w c] in [-1, 1] -> features of 1/16 of their height and width.

    Args:
      width: channels between the layers (N in the paper).
    """

    is_video, temporal_factor, causal = False, 1, False
    spatial_factor = 2**_HALVINGS

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        width: int = 128,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.out_channels = out_channels
        widths = [in_channels, *[width] * (_HALVINGS - 1), out_channels]
        pairs = itertools.pairwise(widths)
        self.convs = nnx.List([halving(i, o, rngs=rngs, dtype=dtype) for i, o in pairs])
        self.norms = nnx.List([GDN(width) for _ in range(_HALVINGS - 1)])

    def __call__(self, x: Map, *, remat: bool = False) -> tuple[Map, dict[str, Any]]:
        for conv, norm in zip(self.convs, self.norms):
            x = norm(run(conv, x, remat=remat))
        return self.convs[-1](x), {}


class Decoder(nnx.Module):
    """Latents [b h w d] -> images around [-1, 1], 16 times as high and wide.

    The arguments are the encoder's.
    """

    is_video, temporal_factor, causal = False, 1, False
    spatial_factor = 2**_HALVINGS
    last_layer = f"convs.{_HALVINGS - 1}.conv.kernel"

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        width: int = 128,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.out_channels = out_channels
        widths = [in_channels, *[width] * (_HALVINGS - 1), out_channels]
        pairs = itertools.pairwise(widths)
        self.convs = nnx.List([Doubling(i, o, rngs=rngs, dtype=dtype) for i, o in pairs])
        self.norms = nnx.List([GDN(width, inverse=True) for _ in range(_HALVINGS - 1)])

    def __call__(self, z: Map, *, remat: bool = False) -> tuple[Map, dict[str, Any]]:
        x = z
        for conv, norm in zip(self.convs, self.norms):
            x = norm(run(conv, x, remat=remat))
        return self.convs[-1](x).astype(jnp.float32), {}


def halving(width: int, out: int, *, rngs: nnx.Rngs, dtype: Any) -> Conv:
    """Return a 5x5 convolution of stride 2."""
    return Conv(
        width, out, 5, stride=2, padding=(2, 2), bias_scale=1.0, key=rngs.params(), dtype=dtype
    )


class Doubling(nnx.Module):
    """A transposed 5x5 convolution of stride 2, which doubles height and width."""

    def __init__(self, width: int, out: int, *, rngs: nnx.Rngs, dtype: Any):
        # Each pixel of the output depends on a quarter of the kernel.
        start = nnx.initializers.variance_scaling(4 / 3, "fan_in", "uniform")
        self.conv = nnx.ConvTranspose(
            width,
            out,
            (5, 5),
            2,
            padding=((2, 3), (2, 3)),
            kernel_init=start,
            dtype=dtype,
            rngs=rngs,
        )

    def __call__(self, x: Map) -> Map:
        graphdef, weights = nnx.split(self.conv)
        return with_halo_exchange(
            lambda weights, x: nnx.merge(graphdef, weights)(x), weights, x, halo=1
        )
