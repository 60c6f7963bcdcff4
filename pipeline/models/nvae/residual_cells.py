"""NVAE's residual cells (2007.03898, section 3.1): a skip connection plus a tenth of a branch that
ends in a gate.

The encoder's branch is batch norm, swish and a 3x3 convolution, twice. The decoder's is wide and
depthwise separable: 1x1 to several times the channels, depthwise 5x5, 1x1 back, with batch norm
around each.
"""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.models.nvae.squeeze_excitation import SqueezeExcitation
from pipeline.nn.conv import Conv
from pipeline.nn.depthwise import DepthwiseConv
from pipeline.nn.init import LayerFactory
from pipeline.nn.norm import BatchNorm, Momentum
from pipeline.nn.resample import aligned_bilinear_double, nearest_upsample
from pipeline.nn.weight_norm import WeightNormConv

BRANCH = 0.1


class FactorizedReduce(nnx.Module):
    """Half the height and width: each of 2x2 pixels gives a quarter of the outputs, by a 1x1
    convolution of its own.
    """

    def __init__(self, inputs: int, outputs: int, *, make: LayerFactory):
        quarter = outputs // 4
        self.convs = nnx.List(
            [
                make(WeightNormConv, inputs, width, 1)
                for width in (quarter, quarter, quarter, outputs - 3 * quarter)
            ]
        )

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        b, h, w, c = x.shape
        cells = nnx.silu(x).reshape(b, h // 2, 2, w // 2, 2, c)
        places = ((0, 0), (1, 1), (0, 1), (1, 0))
        parts = [
            conv(cells[:, :, row, :, column]) for conv, (row, column) in zip(self.convs, places)
        ]
        return jnp.concatenate(parts, axis=-1)


class EncoderCell(nnx.Module):
    """`down` halves height and width, to so many outputs; else inputs are as many as outputs."""

    def __init__(self, inputs: int, outputs: int, *, down: bool = False, make: LayerFactory):
        stride: Any = dict(stride=2, padding=(1, 1)) if down else {}
        self.skip = FactorizedReduce(inputs, outputs, make=make) if down else None
        self.norm1, self.norm2 = BatchNorm(inputs), BatchNorm(outputs)
        self.conv1 = make(WeightNormConv, inputs, outputs, 3, **stride)
        self.conv2 = make(WeightNormConv, outputs, outputs, 3)
        self.gate = make(SqueezeExcitation, outputs)

    def __call__(
        self, x: Float[Array, "b h w c"], momentum: Momentum = None
    ) -> Float[Array, "b h2 w2 d"]:
        branch = self.conv1(nnx.silu(self.norm1(x, momentum)))
        branch = self.conv2(nnx.silu(self.norm2(branch, momentum)))
        return (x if self.skip is None else self.skip(x)) + BRANCH * self.gate(branch)


class DecoderCell(nnx.Module):
    """`up` doubles height and width, to so many outputs; `widening` is of the channels between.

    Pixels are repeated just before the 5x5 convolution and interpolated after the skip's 1x1, not
    before all layers as in the paper's figure: these layers do not see neighbours, so it is the
    same for a quarter of the work. Only the running variance's factor n / (n - 1) sees the smaller
    n.
    """

    def __init__(
        self, inputs: int, outputs: int, *, widening: int, up: bool = False, make: LayerFactory
    ):
        wide = widening * inputs
        self.up = up
        self.skip = make(WeightNormConv, inputs, outputs, 1, bias_scale=None) if up else None
        self.norms = nnx.List([BatchNorm(features) for features in (inputs, wide, wide, outputs)])
        self.widen = make(Conv, inputs, wide, 1, bias_scale=None)
        self.spread = make(DepthwiseConv, wide, 5, bias_scale=None)
        self.narrow = make(Conv, wide, outputs, 1, bias_scale=None)
        self.gate = make(SqueezeExcitation, outputs)

    def __call__(
        self, x: Float[Array, "b h w c"], momentum: Momentum = None
    ) -> Float[Array, "b h2 w2 d"]:
        branch = self.widen(self.norms[0](x, momentum))
        branch = nnx.silu(self.norms[1](branch, momentum))
        branch = self.spread(nearest_upsample(branch, 2) if self.up else branch)
        branch = self.narrow(nnx.silu(self.norms[2](branch, momentum)))
        branch = self.gate(self.norms[3](branch, momentum))
        return (x if self.skip is None else aligned_bilinear_double(self.skip(x))) + BRANCH * branch
