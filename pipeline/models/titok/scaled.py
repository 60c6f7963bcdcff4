"""Autoencoders of tokens with the transformers of DINOv2 (arXiv 2304.07193).

The branches have learned scales, and there is no norm before the first block. SoftVQ (2412.10958)
is one, with its own bottleneck.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.backend.gelu import gelu
from pipeline.models.titok.token_autoencoder import TokenAutoencoder
from pipeline.models.titok.transformer import Block, Sequence, TokenEncoder
from pipeline.nn.attention import attend_to_all
from pipeline.nn.norm import LayerNorm
from pipeline.nn.tokens.layer_scale import LayerScale

_EPS, _SCALE = 1e-6, 1e-5  # of norms, and the first value of a branch's scales
IDENTITY = dict(name="identity.Identity")


class ScaledBlock(Block):
    """TiTok's block with a learned scale of each channel at the end of both branches."""

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs, dtype: Any):
        super().__init__(width, heads, rngs=rngs, dtype=dtype)
        self.norm1, self.norm2 = LayerNorm(width, eps=_EPS), LayerNorm(width, eps=_EPS)
        self.scale1, self.scale2 = (LayerScale(width, start=_SCALE) for _ in range(2))

    def __call__(self, x: Float[Array, "b n c"]) -> Float[Array, "b n c"]:
        x = x + self.scale1(self.out(attend_to_all(self.qkv(self.norm1(x)), self.heads)))
        return x + self.scale2(self.back(gelu(self.hidden(self.norm2(x)))))


class ScaledSequence(Sequence):
    """The transformer of such blocks, without a norm before the first."""

    block, eps = ScaledBlock, _EPS

    def first_norm(self, width: int) -> None:
        """Return nothing."""


class ScaledEncoder(TokenEncoder):
    """The encoder with that transformer."""

    sequence_class = ScaledSequence


class ScaledTokens(TokenAutoencoder):
    """An autoencoder of tokens with those transformers.

    Args:
      image_size, image_channels: shape of an image.
      patch: pixels along each side of a patch.
      num_tokens, latent_channels: number of tokens, and of the channels of each one's latent.
      encoder_size, decoder_size: width, depth and heads of the two transformers.
      bottleneck: recipe of the bottleneck, a dict with the key `name`.
    """

    encoder_class, sequence_class = ScaledEncoder, ScaledSequence

    def __init__(
        self,
        *,
        image_size: int,
        image_channels: int = 3,
        patch: int = 16,
        num_tokens: int = 128,
        latent_channels: int = 32,
        encoder_size: Mapping[str, Any],
        decoder_size: Mapping[str, Any],
        bottleneck: Mapping[str, Any] = IDENTITY,
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
