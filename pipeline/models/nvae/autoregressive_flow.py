"""NVAE's cells of an autoregressive flow that keeps volumes (2007.03898, section 3.4), for a
posterior's latents.

z -> z - m(z), where m of an element sees only the elements before it, in raster order, and of its
own pixel the earlier channels. The Jacobian is triangular with ones on its diagonal, so the
log-density of a sample does not change.
"""

from flax import nnx
from jaxtyping import Array, Float

from pipeline.nn.init import LayerFactory
from pipeline.nn.masked_conv import MaskedConv, MaskedDepthwiseConv

WIDENING = 6


class AutoregressiveCell(nnx.Module):
    """Masked 3x3 to six times the channels, ELU, masked depthwise 5x5, ELU twice, masked 1x1 back:
    m of the flow.

    The last kernel begins at a tenth, so that m is near 0.
    """

    def __init__(self, features: int, *, mirrored: bool, make: LayerFactory):
        wide = WIDENING * features
        self.widen = make(
            MaskedConv, features, wide, 3, strict=True, mirrored=mirrored, bias_scale=None
        )
        self.spread = make(MaskedDepthwiseConv, wide, 5, mirrored=mirrored, bias_scale=None)
        self.narrow = make(MaskedConv, wide, features, 1, mirrored=mirrored, gain=0.1)

    def __call__(self, z: Float[Array, "b h w d"]) -> Float[Array, "b h w d"]:
        hidden = nnx.elu(self.spread(nnx.elu(self.widen(z))))
        # The second ELU is the authors', and changes only what is below 0.
        return z - self.narrow(nnx.elu(hidden)).astype(z.dtype)


class AutoregressivePair(nnx.Module):
    """A cell, and one with the order of the pixels reversed.

    Together they let each element depend on every pixel.
    """

    def __init__(self, features: int, *, make: LayerFactory):
        self.first = AutoregressiveCell(features, mirrored=False, make=make)
        self.second = AutoregressiveCell(features, mirrored=True, make=make)

    def __call__(self, z: Float[Array, "b h w d"]) -> Float[Array, "b h w d"]:
        return self.second(self.first(z))
