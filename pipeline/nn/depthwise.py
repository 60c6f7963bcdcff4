"""Depthwise convolution of feature maps [b h w c]: each channel has its own kernel."""

from typing import Any

from jaxtyping import Array, Float

from pipeline.backend.depthwise import depthwise_conv2d
from pipeline.backend.halo import with_halo_exchange
from pipeline.nn.conv import Conv


class DepthwiseConv(Conv):
    """A depthwise convolution of stride 1; its kernel is [size, size, 1, channels]."""

    def __init__(self, features: int, kernel_size: int, **settings: Any):
        super().__init__(1, features, kernel_size, **settings)

    def __call__(self, *inputs: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        (x,) = inputs
        out = depthwise_convolve(x.astype(self.dtype), self.weight().astype(self.dtype))
        return out if self.bias is None else out + self.bias[...].astype(self.dtype)


def depthwise_convolve(
    x: Float[Array, "b h w c"], kernel: Float[Array, "u v 1 c"]
) -> Float[Array, "b h w c"]:
    """Return the cross-correlation of each zero-padded channel with its own odd kernel."""
    return with_halo_exchange(
        lambda kernel, x: depthwise_conv2d(x, kernel), kernel, x, halo=kernel.shape[0] // 2
    )
