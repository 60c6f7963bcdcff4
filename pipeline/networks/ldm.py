"""The image autoencoder of latent diffusion (arXiv 2112.10752), AutoencoderKL of Stable Diffusion.

Images of height and width that are multiples of 8 become a Gaussian at an eighth of them each way. Layer by layer it
is the authors' network, so that their weights fit: `strata import --from diffusers`. Initialisation is torch's default.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from pipeline.bottlenecks import gaussian
from pipeline.core import pixels
from pipeline.core.errors import ConfigError
from pipeline.core.types import Batch, Latent, Outputs
from pipeline.distributions.continuous import Reconstruction
from pipeline.nn.attention import SpatialAttention
from pipeline.nn.conv import Conv, UpsamplingConv
from pipeline.nn.norm import GroupNorm
from pipeline.nn.norm_act_conv import norm_act_conv

Map = Float[Array, "b _ _ _"]


class ResBlock(nnx.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), with a 1x1 convolution of x where the width changes."""

    def __init__(self, width: int, out: int, groups: int, *, rngs: nnx.Rngs, dtype: Any):
        self.norm1 = GroupNorm(width, groups=groups)
        self.conv1 = _conv(width, out, 3, rngs, dtype)
        self.norm2 = GroupNorm(out, groups=groups)
        self.conv2 = _conv(out, out, 3, rngs, dtype)
        self.shortcut = _conv(width, out, 1, rngs, dtype) if width != out else None

    def __call__(self, x: Map) -> Map:
        h = norm_act_conv(self.norm1, self.conv1, x)
        h = norm_act_conv(self.norm2, self.conv2, h)
        return h + (x if self.shortcut is None else self.shortcut(x))


class Level(nnx.Module):
    """Blocks at one resolution, then a convolution to the next one: `resample` is "down", "up" or ""."""

    def __init__(
        self,
        width: int,
        out: int,
        num_blocks: int,
        groups: int,
        resample: str,
        *,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        widths = [width] + [out] * num_blocks
        pairs = itertools.pairwise(widths)
        self.blocks = nnx.List([ResBlock(i, o, groups, rngs=rngs, dtype=dtype) for i, o in pairs])
        if resample == "down":
            # Zeros below and at the right alone, as the authors pad.
            self.resample = _conv(out, out, 3, rngs, dtype, stride=2)
        elif resample == "up":
            self.resample = UpsamplingConv(out, out, bias_scale=1.0, key=rngs.params(), dtype=dtype)
        else:
            self.resample = None

    def __call__(self, x: Map) -> Map:
        for block in self.blocks:
            x = block(x)
        return x if self.resample is None else self.resample(x)


class Middle(nnx.Module):
    """At the latents' resolution: a block, attention, a block."""

    def __init__(self, width: int, groups: int, attention: bool, *, rngs: nnx.Rngs, dtype: Any):
        self.block1 = ResBlock(width, width, groups, rngs=rngs, dtype=dtype)
        norm = GroupNorm(width, groups=groups)
        self.attention = (
            SpatialAttention(width, norm=norm, rngs=rngs, dtype=dtype) if attention else None
        )
        self.block2 = ResBlock(width, width, groups, rngs=rngs, dtype=dtype)

    def __call__(self, x: Map) -> Map:
        x = self.block1(x)
        return self.block2(x if self.attention is None else self.attention(x))


class Encoder(nnx.Module):
    """Images in [-1, 1] -> [b h/8 w/8 outputs]."""

    def __init__(
        self,
        channels: Sequence[int],
        outputs: int,
        num_blocks: int,
        groups: int,
        attention: bool,
        *,
        image_channels: int,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        self.conv_in = _conv(image_channels, channels[0], 3, rngs, dtype)
        widths = itertools.pairwise([channels[0], *channels])
        last = len(channels) - 1
        self.levels = nnx.List(
            [
                Level(
                    i, o, num_blocks, groups, "down" if level < last else "", rngs=rngs, dtype=dtype
                )
                for level, (i, o) in enumerate(widths)
            ]
        )
        self.middle = Middle(channels[-1], groups, attention, rngs=rngs, dtype=dtype)
        self.norm_out = GroupNorm(channels[-1], groups=groups)
        self.conv_out = _conv(channels[-1], outputs, 3, rngs, dtype)

    def __call__(self, x: Map, remat: bool = False) -> Map:
        x = self.conv_in(x)
        for level in self.levels:
            x = _stage(level, x, remat)
        return norm_act_conv(self.norm_out, self.conv_out, _stage(self.middle, x, remat))


class Decoder(nnx.Module):
    """Latents -> images around [-1, 1]: the encoder mirrored, with a block more at each resolution."""

    def __init__(
        self,
        channels: Sequence[int],
        inputs: int,
        num_blocks: int,
        groups: int,
        attention: bool,
        *,
        image_channels: int,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        self.conv_in = _conv(inputs, channels[-1], 3, rngs, dtype)
        self.middle = Middle(channels[-1], groups, attention, rngs=rngs, dtype=dtype)
        widths = itertools.pairwise([channels[-1], *reversed(channels)])
        last = len(channels) - 1
        self.levels = nnx.List(
            [
                Level(
                    i,
                    o,
                    num_blocks + 1,
                    groups,
                    "up" if level < last else "",
                    rngs=rngs,
                    dtype=dtype,
                )
                for level, (i, o) in enumerate(widths)
            ]
        )
        self.norm_out = GroupNorm(channels[0], groups=groups)
        self.conv_out = _conv(channels[0], image_channels, 3, rngs, dtype)

    def __call__(self, z: Map, remat: bool = False) -> Map:
        x = _stage(self.middle, self.conv_in(z), remat)
        for level in self.levels:
            x = _stage(level, x, remat)
        return norm_act_conv(self.norm_out, self.conv_out, x).astype(jnp.float32)


class AutoencoderKL(nnx.Module):
    """q(z | image) and its decoder.

    Args:
      channels: widths from the image's resolution down; it is halved between them.
      latent_channels: 4 in Stable Diffusion, 16 in its third version.
      num_blocks: residual blocks at each resolution of the encoder; the decoder has one more.
      quant_convs: 1x1 convolutions around the latents, which the third version went without.
      attention: over all pixels, at the lowest resolution.
      groups: of the group norms.
      remat: recompute each resolution in the backward pass instead of keeping its activations.
      image_size: of the images that are shown in reports; any multiple of the factor can be coded.

    Attributes:
      spatial_factor: pixels to a latent, each way.
      last_layer: name of the parameter at the output, for adaptive weights of a discriminator.
    """

    is_video, temporal_factor, num_layers = False, 1, 1
    last_layer = "decoder.conv_out.kernel"

    def __init__(
        self,
        *,
        image_size: int = 256,
        image_channels: int = 3,
        channels: Sequence[int] = (128, 256, 512, 512),
        latent_channels: int = 4,
        num_blocks: int = 2,
        quant_convs: bool = True,
        attention: bool = True,
        groups: int = 32,
        remat: bool = False,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.spatial_factor = 2 ** (len(channels) - 1)
        if not channels or image_size % self.spatial_factor:
            raise ConfigError(
                f"model.image_size={image_size} must be a multiple of {self.spatial_factor}: model.channels has "
                f"{len(channels)} widths, between which the image is halved"
            )
        self.image_size, self.image_channels = image_size, image_channels
        self.latent_channels, self.remat = latent_channels, remat
        side = image_size // self.spatial_factor
        self.latent_shapes = ((side, side, latent_channels),)
        settings: Any = dict(image_channels=image_channels, rngs=rngs, dtype=dtype)
        self.encoder = Encoder(
            channels, 2 * latent_channels, num_blocks, groups, attention, **settings
        )
        self.decoder = Decoder(channels, latent_channels, num_blocks, groups, attention, **settings)
        moments = 2 * latent_channels
        self.quant_conv = _conv(moments, moments, 1, rngs, dtype) if quant_convs else None
        self.post_quant_conv = (
            _conv(latent_channels, latent_channels, 1, rngs, dtype) if quant_convs else None
        )

    def encode(
        self, image: Shaped[Array, "b h w c"], *, key: PRNGKeyArray | None = None
    ) -> tuple[Latent, ...]:
        """The posterior of uint8 or [-1, 1] images: z is its mean, or with a key a sample."""
        return (self._posterior(image, key, remat=False),)

    def decode(
        self,
        latents: Sequence[Float[Array, "b h w d"]],
        *,
        num: int | None = None,
        key: PRNGKeyArray | None = None,
        temperature: float | int | Float[Array, ""] | Sequence[float | int] = 1.0,
    ) -> Reconstruction:
        """The images of these latents; without latents, of `num` z from N(0, 1) (its mean, where there is no key)."""
        shape = self.latent_shapes[0]
        z = gaussian.given_or_prior(latents, shape, num=num, key=key, temperature=temperature)
        return Reconstruction(self._image(z, remat=False))

    def __call__(self, batch: Batch, *, key: PRNGKeyArray | None, train: bool) -> Outputs:
        """Posterior and reconstruction of a batch of images."""
        remat = self.remat and train
        latent = self._posterior(batch["image"], key, remat)
        return Outputs(Reconstruction(self._image(latent.z, remat)), (latent,))

    def _posterior(
        self, image: Shaped[Array, "b h w c"], key: PRNGKeyArray | None, remat: bool
    ) -> Latent:
        moments = self.encoder(pixels.to_float(image), remat)
        return gaussian.of_moments(
            moments if self.quant_conv is None else self.quant_conv(moments), key
        )

    def _image(self, z: Float[Array, "b h w d"], remat: bool) -> Float[Array, "b h2 w2 c"]:
        return self.decoder(z if self.post_quant_conv is None else self.post_quant_conv(z), remat)


def _conv(
    width: int, out: int, kernel_size: int, rngs: nnx.Rngs, dtype: Any, stride: int = 1
) -> Conv:
    return Conv(
        width, out, kernel_size, stride=stride, bias_scale=1.0, key=rngs.params(), dtype=dtype
    )


def _stage(stage: Any, x: Map, remat: bool) -> Map:
    return nnx.remat(type(stage).__call__)(stage, x) if remat else stage(x)
