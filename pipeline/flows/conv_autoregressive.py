"""IAF on feature maps (Kingma et al., 1606.04934, section 5.2): masked convolutions and a context.

An element sees the pixels before its own in raster order, and, at its own pixel, the earlier
channels.
"""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.flows.autoregressive import gated, solve_in_order, ungated
from pipeline.nn.conv import Conv
from pipeline.nn.init import LayerFactory
from pipeline.nn.masked_conv import MaskedConv


class ConvIAF(nnx.Module):
    """Masked 3x3 convolutions with ELUs in between; the context is added after the first one.

    `mirrored` reverses the order of the pixels but not of the channels.
    """

    def __init__(
        self,
        features: int,
        width: int,
        context: int,
        *,
        depth: int = 2,
        mirrored: bool = False,
        make: LayerFactory,
    ):
        hidden = dict(mirrored=mirrored)
        self.first = make(MaskedConv, features, width, 3, strict=True, **hidden)
        self.context = make(Conv, context, width, 1)
        self.rest = nnx.List(
            [make(MaskedConv, width, width, 3, **hidden) for _ in range(depth - 1)]
        )
        self.scale = make(MaskedConv, width, features, 3, gain=0.1, **hidden)
        self.shift = make(MaskedConv, width, features, 3, gain=0.1, **hidden)

    def __call__(
        self, z: Float[Array, "b h w d"], context: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, "b h w d"], Float[Array, "b h w d"]]:
        return gated(z, *self._scale_and_shift(z, context))

    def inverse(
        self, y: Float[Array, "b h w d"], context: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w d"]:
        """Invert in as many sweeps as an example has elements: for tests and small maps."""
        return solve_in_order(
            lambda z: ungated(y, *self._scale_and_shift(z, context)), y, y[0].size
        )

    def _scale_and_shift(self, z: Array, context: Array) -> tuple[Array, Array]:
        x = nnx.elu(self.first(z) + self.context(context))
        for conv in self.rest:
            x = nnx.elu(conv(x))
        return self.scale(x).astype(jnp.float32), self.shift(x).astype(jnp.float32)
