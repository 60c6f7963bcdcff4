"""The tiny autoencoder (github.com/madebyollin/taesd): an eighth of height and width, few channels throughout.

It is distilled from a large codec, whose latents it takes and gives: its encoder is deterministic. Layer by layer it is
the author's network, so that his weights fit: `strata import --from taesd ENCODER DECODER`.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from pipeline.bottlenecks import gaussian
from pipeline.core import pixels
from pipeline.core.errors import ConfigError
from pipeline.core.types import Batch, Latent, Outputs
from pipeline.distributions.continuous import MIN_LOGVAR, Reconstruction
from pipeline.nn.conv import Conv, UpsamplingConv
from pipeline.nn.norm import GroupNorm

Map = Float[Array, "b _ _ _"]


class Pool(nnx.Module):
    """x + a 1x1 bottleneck turned outwards, whose group norm tells each pixel of the whole image."""

    def __init__(self, width: int, *, rngs: nnx.Rngs, dtype: Any):
        self.conv1 = Conv(width, 4 * width, 1, bias_scale=None, key=rngs.params(), dtype=dtype)
        self.norm = GroupNorm(4 * width, groups=4, eps=1e-5)
        self.conv2 = Conv(4 * width, width, 1, bias_scale=None, key=rngs.params(), dtype=dtype)

    def __call__(self, x: Map) -> Map:
        return x + self.conv2(nnx.relu(self.norm(self.conv1(x))))


class Block(nnx.Module):
    """relu(x + conv(relu(conv(relu(conv(x)))))), all 3x3; with `pool` of Pool(x) in place of x."""

    def __init__(self, width: int, pool: bool, *, rngs: nnx.Rngs, dtype: Any):
        self.convs = nnx.List(
            [
                Conv(width, width, 3, bias_scale=1.0, key=rngs.params(), dtype=dtype)
                for _ in range(3)
            ]
        )
        self.pool = Pool(width, rngs=rngs, dtype=dtype) if pool else None

    def __call__(self, x: Map) -> Map:
        x = x if self.pool is None else self.pool(x)
        h = x
        for index, conv in enumerate(self.convs):
            h = conv(nnx.relu(h) if index else h)
        return nnx.relu(h + x)


class Stage(nnx.Module):
    """Blocks at one resolution."""

    def __init__(
        self, width: int, num_blocks: int, pool: bool = False, *, rngs: nnx.Rngs, dtype: Any
    ):
        self.blocks = nnx.List(
            [Block(width, pool, rngs=rngs, dtype=dtype) for _ in range(num_blocks)]
        )

    def __call__(self, x: Map) -> Map:
        for block in self.blocks:
            x = block(x)
        return x


class Encoder(nnx.Module):
    """Images in [0, 1] -> latents."""

    def __init__(
        self,
        image_channels: int,
        latent_channels: int,
        width: int,
        num_blocks: int,
        pool: bool,
        *,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        same: Any = dict(rngs=rngs, dtype=dtype)
        self.conv_in = Conv(
            image_channels, width, 3, bias_scale=1.0, key=rngs.params(), dtype=dtype
        )
        self.downs = nnx.List([_halving(width, rngs, dtype) for _ in range(3)])
        later = [Stage(width, num_blocks, last and pool, **same) for last in (False, False, True)]
        self.stages = nnx.List([Stage(width, 1, **same), *later])
        self.conv_out = Conv(
            width, latent_channels, 3, bias_scale=1.0, key=rngs.params(), dtype=dtype
        )

    def __call__(self, x: Map) -> Map:
        x = self.stages[0](self.conv_in(x))
        for down, stage in zip(self.downs, self.stages[1:]):
            x = stage(down(x))
        return self.conv_out(x)


class Decoder(nnx.Module):
    """Latents, which are held softly within -3 .. 3, -> images around [0, 1]."""

    def __init__(
        self,
        image_channels: int,
        latent_channels: int,
        width: int,
        num_blocks: int,
        pool: bool,
        *,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        same: Any = dict(rngs=rngs, dtype=dtype)
        self.conv_in = Conv(
            latent_channels, width, 3, bias_scale=1.0, key=rngs.params(), dtype=dtype
        )
        early = [Stage(width, num_blocks, first and pool, **same) for first in (True, False, False)]
        self.stages = nnx.List([*early, Stage(width, 1, **same)])
        self.ups = nnx.List(
            [
                UpsamplingConv(width, width, bias_scale=None, key=rngs.params(), dtype=dtype)
                for _ in range(3)
            ]
        )
        self.conv_out = Conv(
            width, image_channels, 3, bias_scale=1.0, key=rngs.params(), dtype=dtype
        )

    def __call__(self, z: Map) -> Map:
        x = self.stages[0](nnx.relu(self.conv_in(3 * jnp.tanh(z / 3))))
        for up, stage in zip(self.ups, self.stages[1:]):
            x = stage(up(x))
        return self.conv_out(x).astype(jnp.float32)


class TAESD(nnx.Module):
    """A deterministic codec.

    Its posterior is a point: `logvar` is the smallest there is, a sample is the mean, and `kl` is 0, since no rate is
    asked of it.

    Args:
      latent_channels: 4 for Stable Diffusion's latents, 16 for those of its third version and of FLUX.1, 32 for
        FLUX.2's.
      width, num_blocks: channels throughout, and blocks at each resolution but the image's; 64 and 3 are the author's.
      pool: blocks at the lowest resolution see the whole image's statistics, as in the form for FLUX.2.
      image_size: of the images that are shown in reports; any multiple of 8 can be coded.

    Attributes:
      spatial_factor: 8, pixels to a latent, each way.
      last_layer: name of the parameter at the output, for adaptive weights of a discriminator.
    """

    is_video, temporal_factor, spatial_factor, num_layers = False, 1, 8, 1
    last_layer = "decoder.conv_out.kernel"

    def __init__(
        self,
        *,
        image_size: int = 256,
        image_channels: int = 3,
        latent_channels: int = 4,
        width: int = 64,
        num_blocks: int = 3,
        pool: bool = False,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        if image_size % 8:
            raise ConfigError(f"model.image_size={image_size} must be a multiple of 8")
        self.image_size, self.image_channels, self.latent_channels = (
            image_size,
            image_channels,
            latent_channels,
        )
        self.latent_shapes = ((image_size // 8, image_size // 8, latent_channels),)
        sizes = (image_channels, latent_channels, width, num_blocks, pool)
        self.encoder = Encoder(*sizes, rngs=rngs, dtype=dtype)
        self.decoder = Decoder(*sizes, rngs=rngs, dtype=dtype)

    def encode(
        self, image: Shaped[Array, "b h w c"], *, key: PRNGKeyArray | None = None
    ) -> tuple[Latent, ...]:
        """The latents of uint8 or [-1, 1] images; the key changes nothing."""
        del key
        z = self.encoder((pixels.to_float(image) + 1) / 2).astype(jnp.float32)
        zeros = jnp.zeros_like(z)
        return (Latent(z, zeros, z, zeros + MIN_LOGVAR, prior_mean=zeros, prior_logvar=zeros),)

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
        return Reconstruction(2 * self.decoder(z) - 1)

    def __call__(self, batch: Batch, *, key: PRNGKeyArray | None, train: bool) -> Outputs:
        """Latents and reconstruction of a batch of images; `train` changes nothing here."""
        del train
        latents = self.encode(batch["image"], key=key)
        return Outputs(self.decode([latents[0].z]), latents)


def _halving(width: int, rngs: nnx.Rngs, dtype: Any) -> Conv:
    return Conv(
        width, width, 3, stride=2, padding=(1, 1), bias_scale=None, key=rngs.params(), dtype=dtype
    )
