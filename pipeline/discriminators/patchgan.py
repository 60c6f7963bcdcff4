"""PatchGAN discriminators of images and of clips (arXiv 1611.07004), which judge patches.

The authors of latent diffusion and WF-VAE normalize over the batch: norm="batch" gives their
networks, with the statistics of the current batch and no running ones, which a discriminator never
uses. The default is "group", which normalizes each example separately. Logits of an example then do
not depend on the others, so that a batch that is split over devices or accumulated over
microbatches gives the same logits as a whole one, and R1's gradient is per example.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.core.errors import ConfigError
from pipeline.nn import conv, init
from pipeline.nn.conv3d import convolve_3d
from pipeline.nn.norm import CurrentBatchNorm, GroupNorm

NORMS = ("group", "batch", "none")
_STD = 0.02  # of initial kernels
_SLOPE = 0.2


class _Layer(nnx.Module):
    """A convolution with one row of zeros on each side, and one frame for clips.

    The shape of its kernel says whether it is 2-D or 3-D.
    """

    def __init__(
        self,
        shape: Sequence[int],
        stride: tuple[int, ...],
        bias: bool,
        *,
        key: PRNGKeyArray,
        dtype: Any,
    ):
        self.kernel = nnx.Param(init.normal(key, shape, _STD))
        # torch's default, uniform by the fan-in, which the authors' initialization does not change.
        bound = (shape[-2] * math.prod(shape[:-2])) ** -0.5
        self.bias = (
            nnx.Param(init.uniform(jax.random.fold_in(key, 1), shape[-1:], bound)) if bias else None
        )
        self.stride, self.dtype = stride, dtype

    def __call__(self, x: Array) -> Array:
        kernel = self.kernel[...].astype(self.dtype)
        bias = None if self.bias is None else self.bias[...].astype(self.dtype)
        x = x.astype(self.dtype)
        if kernel.ndim == 4:
            return conv.convolve(x, kernel, self.stride[0], (1, 1), bias)
        return convolve_3d(x, kernel, self.stride, bias, padding=((1, 1), (1, 1), (1, 1)))


class _PatchGAN(nnx.Module):
    """Strided convolutions, one of stride 1, and one that outputs the logits."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: tuple[int, ...],
        strides: Sequence[tuple[int, ...]],
        norm: str,
        *,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        if norm not in NORMS:
            raise ConfigError(f"discriminator.norm={norm!r} must be one of {', '.join(NORMS)}")
        last = len(strides)
        widths = [in_channels, *[channels * min(2**number, 8) for number in range(last + 1)], 1]
        convs, norms = [], []
        for number, stride in enumerate([*strides, (1,) * len(kernel), (1,) * len(kernel)]):
            shape = (*kernel, *widths[number : number + 2])
            normed = 0 < number <= last
            bias = not normed or norm == "none"
            convs.append(_Layer(shape, stride, bias, key=rngs.params(), dtype=dtype))
            norms.append(_norm(norm, widths[number + 1], rngs) if normed else None)
        self.convs, self.norms = nnx.List(convs), nnx.List(norms)

    def features(self, x: Float[Array, "b *t h w c"]) -> Float[Array, "b *t2 h2 w2 d"]:
        """Return the features from which the last layer makes the logits."""
        return _PatchGAN.layers(self, x)[-1]

    def layers(self, x: Float[Array, "b *t h w c"]) -> list[Array]:
        """Return the features of all hidden layers, in order."""
        found = []
        for layer, norm in zip(list(self.convs)[:-1], list(self.norms)[:-1]):
            x = layer(x)
            x = jax.nn.leaky_relu(x if norm is None else norm(x), _SLOPE)
            found.append(x)
        return found

    def _logits(self, x: Array) -> Array:
        return self.convs[-1](_PatchGAN.features(self, x)).astype(jnp.float32)[..., 0]


class PatchGAN2D(_PatchGAN):
    """The discriminator of images, and of the frames of clips separately.

    Args:
      channels: channels of the first layer; later ones have up to eight times as many.
      num_layers: layers that halve height and width; with 3, a logit sees 70x70
        pixels.
      norm: "group", "batch" or "none".
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        channels: int = 64,
        num_layers: int = 3,
        norm: str = "group",
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        strides = [(2, 2)] * num_layers
        super().__init__(in_channels, channels, (4, 4), strides, norm, rngs=rngs, dtype=dtype)

    def __call__(self, x: Float[Array, "b *t h w c"]) -> Float[Array, "b *t h2 w2"]:
        """Return the logits that patches of images in [-1, 1] are real."""
        logits = self._logits(x.reshape(-1, *x.shape[-3:]))
        return logits.reshape(*x.shape[:-3], *logits.shape[1:])

    def features(self, x: Float[Array, "b *t h w c"]) -> Float[Array, "b *t h2 w2 d"]:
        """Return the features from which the last layer makes the logits."""
        return self.layers(x)[-1]

    def layers(self, x: Float[Array, "b *t h w c"]) -> list[Array]:
        """Return the features of all hidden layers, in order."""
        found = super().layers(x.reshape(-1, *x.shape[-3:]))
        return [y.reshape(*x.shape[:-3], *y.shape[1:]) for y in found]


class PatchGAN3D(_PatchGAN):
    """The discriminator of clips, with the arguments of PatchGAN2D; two layers also halve time.

    WF-VAE's (2411.17459) has 4 layers, norm="batch", and dropout of 0.3, which we leave out: the
    generator would follow its noise.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        channels: int = 64,
        num_layers: int = 4,
        norm: str = "group",
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        strides = [(2 if number < 2 else 1, 2, 2) for number in range(num_layers)]
        super().__init__(in_channels, channels, (3, 3, 3), strides, norm, rngs=rngs, dtype=dtype)

    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t2 h2 w2"]:
        """Return the logits that patches of clips in [-1, 1] are real."""
        return self._logits(x)


def _norm(kind: str, width: int, rngs: nnx.Rngs) -> Callable[[Array], Array] | None:
    if kind == "batch":
        made = CurrentBatchNorm(width)
        made.scale[...] = 1 + init.normal(rngs.params(), (width,), _STD)
        return made
    # A discriminator need not be causal: statistics are over the whole clip.
    groups = max(groups for groups in range(1, 33) if width % groups == 0)
    return GroupNorm(width, groups=groups, per_frame=False) if kind == "group" else None
