"""The residual discriminator of StyleGAN2 (arXiv 1912.04958, section 4.1) judges whole images.

Layers learn at one rate: kernels start from N(0, 1) and are scaled by their fan-in when they are
used (1710.10196, section 4.1). Maps are blurred before they are halved. The tokenizers that follow
ViT-VQGAN train with it and with R1 (config.objective.adversarial.r1).
"""

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.nn import init
from pipeline.nn.conv import Conv

Map = Float[Array, "n _ _ _"]
_TOTAL = 32_768  # channels of a resolution times its side, up to the most channels
_SLOPE = 0.2
_TAPS = (0.125, 0.375, 0.375, 0.125)  # of the blur


class _Equalized(Conv):
    """A convolution whose kernel is scaled by 1 / sqrt(fan-in) when it is used."""

    def __init__(self, in_features: int, out_features: int, kernel_size: int, **settings: Any):
        super().__init__(in_features, out_features, kernel_size, **settings)
        self.kernel = nnx.Param(init.normal(settings["key"], self.kernel.shape))

    def weight(self) -> Float[Array, "u v c d"]:
        """Return the kernel as applied."""
        return self.kernel[...] * math.prod(self.kernel.shape[:3]) ** -0.5


class _Block(nnx.Module):
    """Two 3x3 convolutions, the second of which halves height and width, and a 1x1 shortcut."""

    def __init__(self, width: int, out: int, *, rngs: nnx.Rngs, dtype: Any):
        self.conv1 = _conv(width, width, 3, rngs, dtype)
        self.conv2 = _conv(width, out, 3, rngs, dtype, stride=2, padding=(0, 0))
        self.shortcut = _conv(width, out, 1, rngs, dtype, bias_scale=None)

    def __call__(self, x: Map) -> Map:
        h = _activated(self.conv2(blur(_activated(self.conv1(x)), 2)))
        return (h + self.shortcut(blur(x, 1)[:, ::2, ::2])) * 0.5**0.5


class StyleGAN(nnx.Module):
    """Residual blocks down to 4x4, and two linear layers, of images and of the frames of clips.

    Args:
      image_size: side of the images, a power of two from 8 on.
      channels: most channels of a resolution; one of side s has at most 32,768 / s.
      group: examples, if so many divide the batch, whose standard deviation the last layers see
        (minibatch standard deviation, 1710.10196, section 3). The logits of an example then depend
        on the others; 1 leaves it out.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        image_size: int = 256,
        channels: int = 512,
        group: int = 4,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        if image_size < 8 or image_size & (image_size - 1) or group < 1:
            raise ConfigError(
                f"discriminator.image_size={image_size} must be a power of two from 8 on, and "
                f"discriminator.group={group} at least 1"
            )
        sides = [image_size >> number for number in range(int(math.log2(image_size)) - 1)]
        widths = [min(channels, _TOTAL // side) for side in sides]
        self.image_size, self.group = image_size, group
        same: Any = dict(rngs=rngs, dtype=dtype)
        self.conv_in = _conv(in_channels, widths[0], 1, **same)
        self.blocks = nnx.List([_Block(i, o, **same) for i, o in itertools.pairwise(widths)])
        self.conv_out = _conv(widths[-1] + (group > 1), widths[-1], 3, **same)
        # A linear layer of all 4x4 pixels, as a 1x1 convolution of them side by side.
        self.hidden = _conv(16 * widths[-1], widths[-1], 1, **same)
        self.logit = _conv(widths[-1], 1, 1, **same)

    def __call__(self, x: Float[Array, "b *t h w c"]) -> Float[Array, "..."]:
        """Return the logits [b *t] that images in [-1, 1] are real.

        Raises:
          ConfigError: images have another size.
        """
        if x.shape[-3:-1] != (self.image_size, self.image_size):
            raise ConfigError(
                f"discriminator.image_size={self.image_size}, but images are {x.shape[-3]} x "
                f"{x.shape[-2]}"
            )
        h = _activated(self.conv_in(x.reshape(-1, *x.shape[-3:])))
        for block in self.blocks:
            h = block(h)
        if self.group > 1:
            h = jnp.concatenate([h, deviation(h, math.gcd(self.group, len(h)))], axis=-1)
        h = _activated(self.conv_out(h))
        h = _activated(self.hidden(h.reshape(len(h), 1, 1, -1)))
        return self.logit(h).astype(jnp.float32).reshape(x.shape[:-3])


def deviation(x: Map, group: int) -> Float[Array, "n h w 1"]:
    """Return the standard deviation over each `group` examples, averaged to one number of them."""
    n, h, w, c = x.shape
    parts = x.astype(jnp.float32).reshape(group, n // group, h, w, c)
    spread = jnp.sqrt(jnp.square(parts - parts.mean(axis=0)).mean(axis=0) + 1e-8)
    spread = jnp.tile(spread.mean(axis=(1, 2, 3)), group)
    return jnp.broadcast_to(spread[:, None, None, None], (n, h, w, 1)).astype(x.dtype)


def blur(x: Map, padding: int) -> Map:
    """Return x with zeros around it, blurred by the four taps [1 3 3 1] / 8 along each side."""
    zeros = (padding, padding)
    x = jnp.pad(x, ((0, 0), zeros, zeros, (0, 0)))
    for axis in (1, 2):
        size = x.shape[axis] - len(_TAPS) + 1
        first, *others = (
            tap * lax.slice_in_dim(x, start, start + size, axis=axis)
            for start, tap in enumerate(_TAPS)
        )
        x = sum(others, first)
    return x


def _activated(x: Map) -> Map:
    return jax.nn.leaky_relu(x, _SLOPE) * 2**0.5


def _conv(
    width: int, out: int, size: int, rngs: nnx.Rngs, dtype: Any, **settings: Any
) -> _Equalized:
    return _Equalized(width, out, size, key=rngs.params(), dtype=dtype, **settings)
