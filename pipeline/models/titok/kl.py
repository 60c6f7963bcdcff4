"""TiTok's KL form (arXiv 2406.07550, its code): Gaussian latents of tokens, decoded to pixels."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.models.titok.token_autoencoder import TokenAutoencoder
from pipeline.nn.conv import Conv

GAUSSIAN = dict(name="gaussian.Gaussian")


class TiTokKL(TokenAutoencoder):
    """TiTok's transformers around a bottleneck, and a 3x3 convolution of the decoded pixels.

    Args:
      image_size, image_channels: shape of an image.
      patch: pixels along each side of a patch.
      num_tokens, latent_channels: number of tokens, and of the channels of each one's latent.
      encoder_size, decoder_size: width, depth and heads of the two transformers.
      bottleneck: recipe of the bottleneck, a dict with the key `name`.
    """

    last_layer = "conv_out.kernel"

    def __init__(
        self,
        *,
        image_size: int,
        image_channels: int = 3,
        patch: int = 16,
        num_tokens: int = 64,
        latent_channels: int = 16,
        encoder_size: Mapping[str, Any],
        decoder_size: Mapping[str, Any],
        bottleneck: Mapping[str, Any] = GAUSSIAN,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        super().__init__(
            image_size=image_size,
            image_channels=image_channels,
            patch=patch,
            num_tokens=num_tokens,
            latent_channels=latent_channels,
            encoder_size=encoder_size,
            decoder_size=decoder_size,
            bottleneck=bottleneck,
            rngs=rngs,
            dtype=dtype,
        )
        channels = image_channels
        self.conv_out = Conv(
            channels, channels, 3, bias_scale=1.0, key=rngs.params(), dtype=jnp.float32
        )

    def pixels_of(self, z: Float[Array, "b n d"]) -> Float[Array, "b h w c"]:
        """Return the images of latents."""
        return self.conv_out(super().pixels_of(z))
