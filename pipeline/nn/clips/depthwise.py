"""Depthwise and depthwise separable convolutions of clips [b t h w c], causal in time."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.backend.depthwise import depthwise_conv2d
from pipeline.backend.halo import with_halo_exchange
from pipeline.nn.cache import CausalCache
from pipeline.nn.conv3d import CausalConv3d


class CausalDepthwiseConv3d(CausalConv3d):
    """A causal convolution of stride 1 in which each channel has its own kernel.

    The kernel is [time, height, width, 1, channels], and zeros surround each frame.
    """

    def __init__(
        self,
        features: int,
        kernel_size: int = 3,
        *,
        time_padding: str = "replicate",
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        same: Any = dict(time_padding=time_padding, key=key, dtype=dtype)
        super().__init__(1, features, kernel_size, **same)

    def _convolved(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t2 h w c"]:
        kernel, bias = (each[...].astype(self.dtype) for each in (self.kernel, self.bias))
        return depthwise_convolve_3d(x, kernel) + bias


class SeparableConv3d(nnx.Module):
    """A causal depthwise convolution, then a 1x1x1 convolution of all channels (arXiv 1704.04861,
    sec. 3.1, in three dimensions and with nothing between the two).

    It is a causal convolution whose kernel is kernel[t, h, w, i] times pointwise[i, o], with n^3 +
    o weights for each of the i input channels in place of n^3 o.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int = 3,
        *,
        time_padding: str = "replicate",
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        settings: Any = dict(time_padding=time_padding, dtype=dtype)
        self.depthwise = CausalDepthwiseConv3d(
            in_features, kernel_size, key=rngs.params(), **settings
        )
        self.pointwise = CausalConv3d(in_features, out_features, 1, key=rngs.params(), **settings)

    def __call__(
        self, x: Float[Array, "b t h w c"], cache: CausalCache | None = None
    ) -> Float[Array, "b t h w d"]:
        """Convolve a whole clip, or with a `cache` its next chunk."""
        return self.pointwise(self.depthwise(x, cache))


def depthwise_convolve_3d(
    x: Float[Array, "b t h w c"], kernel: Float[Array, "u v s 1 c"]
) -> Float[Array, "b t2 h w c"]:
    """Return the cross-correlation of each channel with its own kernel, odd in height and width.

    Frames are padded with zeros, and time is not: t2 = t - u + 1. It is computed as a sum over the
    taps in time of 2-D convolutions of single frames, which all backends do well.
    """

    def layer(kernel: Array, x: Array) -> Array:
        b, _, h, w, c = x.shape
        frames = x.shape[1] - len(kernel) + 1
        taps = [
            depthwise_conv2d(x[:, tap : tap + frames].reshape(-1, h, w, c), kernel[tap])
            for tap in range(len(kernel))
        ]
        return sum(taps[1:], taps[0]).reshape(b, frames, h, w, c)

    return with_halo_exchange(layer, kernel, x, halo=kernel.shape[1] // 2)
