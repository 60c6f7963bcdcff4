"""The blocks of a resolution of DC-AE: residual convolutions, and EfficientViT's block."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.networks.dc_ae.linear_attention import LinearAttention
from pipeline.nn.conv import Conv
from pipeline.nn.depthwise import DepthwiseConv
from pipeline.nn.norm import BatchNorm, Momentum, RMSNorm

Map = Float[Array, "b _ _ _"]
Pixels = Float[Array, "... c"]
EPS = 1e-5
EXPANSION = 4  # of the hidden layer of a mix


class PixelNorm(RMSNorm):
    """RMS norm with a scale and a shift; it is called as a batch norm is."""

    def __init__(self, features: int):
        super().__init__(features, eps=EPS, bias=True)

    def __call__(
        self, x: Float[Array, "... c"], momentum: Momentum = None
    ) -> Float[Array, "... c"]:
        del momentum  # it has no running statistics
        return super().__call__(x)


def norm_of(width: int, batch_norm: bool) -> PixelNorm | BatchNorm:
    """Return the norm at the end of a residual branch."""
    return BatchNorm(width, eps=EPS) if batch_norm else PixelNorm(width)


class ResBlock(nnx.Module):
    """x + norm(conv(act(conv(x)))), with ReLU or silu; the second convolution has no bias."""

    def __init__(self, width: int, batch_norm: bool, relu: bool, *, rngs: nnx.Rngs, dtype: Any):
        self.conv1 = Conv(width, width, 3, bias_scale=1.0, key=rngs.params(), dtype=dtype)
        self.conv2 = Conv(width, width, 3, bias_scale=None, key=rngs.params(), dtype=dtype)
        self.norm = norm_of(width, batch_norm)
        self.relu = relu

    def __call__(self, x: Map, momentum: Momentum = None) -> Map:
        act = nnx.relu if self.relu else nnx.silu
        return x + self.norm(self.conv2(act(self.conv1(x))), momentum)


class Mix(nnx.Module):
    """x + norm(out(h silu(gate))), with h and gate of a 3x3 depthwise convolution of silu(wide(x)),
    which has EXPANSION times the channels for each: EfficientViT's feed-forward layer with a gate.
    """

    def __init__(self, width: int, *, rngs: nnx.Rngs, dtype: Any):
        hidden = EXPANSION * width
        same: Any = dict(bias_scale=1.0, dtype=dtype)
        self.wide = Conv(width, 2 * hidden, 1, key=rngs.params(), **same)
        self.depthwise = DepthwiseConv(2 * hidden, 3, key=rngs.params(), **same)
        self.out = Conv(hidden, width, 1, bias_scale=None, key=rngs.params(), dtype=dtype)
        self.norm = PixelNorm(width)

    def __call__(self, x: Map) -> Map:
        h, gate = jnp.split(self.depthwise(nnx.silu(self.wide(x))), 2, axis=-1)
        return x + self.norm(self.out(h * nnx.silu(gate)))


class AttentionBlock(nnx.Module):
    """x + norm(linear attention over all pixels), then a mix of each pixel with its neighbors."""

    def __init__(
        self,
        width: int,
        head_dim: int,
        kernel_sizes: tuple[int, ...],
        batch_norm: bool,
        *,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        self.attention = LinearAttention(
            width, head_dim=head_dim, kernel_sizes=kernel_sizes, rngs=rngs, dtype=dtype
        )
        self.norm = norm_of(width, batch_norm)
        self.mix = Mix(width, rngs=rngs, dtype=dtype)

    def __call__(self, x: Map, momentum: Momentum = None) -> Map:
        return self.mix(x + self.norm(self.attention(x), momentum))
