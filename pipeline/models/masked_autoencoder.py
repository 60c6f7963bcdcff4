"""MAE (arXiv 2111.06377): a vision transformer learns features by painting in hidden patches.

In training the encoder sees a random part of the patches, and a small decoder predicts the others.
The reconstruction has the image's own patches where they were seen, so that any error of pixels is
one of hidden patches only. Elsewhere the encoder sees everything: its features are the latents, and
a frozen encoder reads them from the codec's folder (pipeline.frozen.encoders.mae).
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from pipeline.bottlenecks.identity import Identity
from pipeline.core import pixels
from pipeline.core.errors import ConfigError
from pipeline.core.types import Batch, Latent, Outputs
from pipeline.distributions.continuous import Reconstruction
from pipeline.frozen.encoders import mae
from pipeline.nn.init import layer_factory
from pipeline.nn.norm import LayerNorm
from pipeline.nn.tokens.attention import Attention
from pipeline.nn.tokens.block import Block
from pipeline.nn.tokens.extra_tokens import ExtraTokens
from pipeline.nn.tokens.linear import Linear
from pipeline.nn.tokens.mlp import MLP
from pipeline.nn.tokens.patches import from_patches, to_patches
from pipeline.nn.tokens.sincos import sincos_grid
from pipeline.priors import hierarchy
from pipeline.priors.hierarchy import LayerInput, layer_key

_EPS = 1e-6


class MaskedAutoencoder(nnx.Module):
    """Images of one size and three channels; latents are features [b side side width] of patches.

    Args:
      image_size: side of an image in pixels.
      patch: side of a patch.
      width, depth, heads: of the encoder, whose feed-forward layers are four times as wide.
      decoder_width, decoder_depth, decoder_heads: of the decoder.
      hidden: the part of the patches that the encoder does not see in training.
    """

    codec_kind, is_video, num_layers = "fixed_size", False, 1
    image_channels = 3
    encoder_parts = ("encoder",)
    last_layer = "pixels.kernel"

    def __init__(
        self,
        *,
        image_size: int,
        patch: int = 4,
        width: int = 192,
        depth: int = 12,
        heads: int = 3,
        decoder_width: int = 96,
        decoder_depth: int = 2,
        decoder_heads: int = 3,
        hidden: float = 0.75,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        side = image_size // patch
        if image_size % patch or width % 4 or decoder_width % 4:
            raise ConfigError(
                f"model.image_size={image_size} must be a multiple of model.patch={patch}, and "
                f"model.width={width} and model.decoder_width={decoder_width} of 4"
            )
        self.num_seen = side**2 - round(hidden * side**2)
        if not 0 < self.num_seen < side**2:
            raise ConfigError(
                f"model.hidden={hidden} hides all or none of the {side**2} patches of an image"
            )
        sizes: Any = dict(width=width, depth=depth, heads=heads, hidden=4 * width)
        own: Any = dict(patch=patch, side=side, eps=_EPS, key=rngs.params(), dtype=dtype)
        self.encoder = mae.create(**sizes, **own)
        # The published models have fixed positions; these start as the same.
        positions: Any = self.encoder.positions
        grid = sincos_grid(side, side, width).reshape(side**2, width)
        positions.table[...] = jnp.concatenate([jnp.zeros((1, width)), grid])
        make = layer_factory(rngs.params(), dtype)
        self.embed = make(Linear, width, decoder_width)
        self.mask_token = make(ExtraTokens, 1, decoder_width)
        self.blocks = nnx.List(
            [
                Block(
                    Attention(decoder_width, decoder_heads, make=make),
                    MLP(decoder_width, 4 * decoder_width, make=make),
                    norms=(LayerNorm(decoder_width, eps=_EPS), LayerNorm(decoder_width, eps=_EPS)),
                )
                for _ in range(decoder_depth)
            ]
        )
        self.norm = LayerNorm(decoder_width, eps=_EPS)
        self.pixels = make(Linear, decoder_width, 3 * patch**2)
        self.bottleneck = Identity(latent_channels=width)
        self.image_size, self.patch, self.side = image_size, patch, side
        self.latent_shapes = ((side, side, width),)

    def encode(
        self, image: Shaped[Array, "b h w c"], *, key: PRNGKeyArray | None = None
    ) -> tuple[Latent, ...]:
        """Return the features of uint8 or [-1, 1] images, of which every patch is seen."""
        features = self.encoder(mae.PREPROCESSING(image)).patches
        return (self.bottleneck(features, layer_key(key, 0)),)

    decode = hierarchy.decode

    def generate(self, layers: Sequence[LayerInput], batch: int) -> Reconstruction:
        """Return the images of features, given or drawn; see pipeline.priors.hierarchy.decode."""
        (layer,) = layers
        z = layer.z
        if z is None:
            shape = (batch, *self.latent_shapes[0][:-1])
            z = self.bottleneck.prior(shape, layer.key, layer.temperature)
        return Reconstruction(self._decode(self.embed(z.reshape(len(z), self.side**2, -1))))

    def __call__(self, batch: Batch, *, key: PRNGKeyArray | None, train: bool) -> Outputs:
        """Return the features and the reconstruction; in training, of an image with hidden patches.

        `aux` then has "patch_mask" [b n], which is 1 at hidden patches.
        """
        if not train or key is None:
            latents = self.encode(batch["image"], key=key)
            z = latents[0].z
            return Outputs(self.generate([LayerInput(z, None, 1.0)], len(z)), latents)
        x = pixels.to_float(batch["image"])
        order = jnp.argsort(jax.random.uniform(key, (len(x), self.side**2)), axis=1)
        seen = jnp.sort(order[:, : self.num_seen], axis=1)
        features = self._features(mae.PREPROCESSING(x), seen)
        tokens = self.mask_token(len(x))
        tokens = jnp.broadcast_to(tokens, (len(x), self.side**2, tokens.shape[-1]))
        rows = jnp.arange(len(x))[:, None]
        tokens = tokens.at[rows, seen].set(self.embed(features))
        mask = jnp.ones((len(x), self.side**2)).at[rows, seen].set(0.0)
        shown = mask.reshape(len(x), self.side, 1, self.side, 1, 1)
        shape = (len(x), self.side, self.patch, self.side, self.patch, 3)
        recon = jnp.where(shown > 0, self._decode(tokens).reshape(shape), x.reshape(shape)).reshape(
            x.shape
        )
        latent = self.bottleneck(features)
        return Outputs(Reconstruction(recon), (latent,), {"patch_mask": mask})

    def _features(
        self, x: Float[Array, "b h w c"], seen: Shaped[Array, "b m"]
    ) -> Float[Array, "b m width"]:
        """Return the features of the patches that are seen."""
        encoder: Any = self.encoder
        tokens = encoder.embed(to_patches(x, self.patch)).reshape(len(x), self.side**2, -1)
        positions = encoder.positions(self.side, self.side)
        tokens = jnp.take_along_axis(tokens + positions[1:], seen[..., None], axis=1)
        first = encoder.class_token(len(x)) + positions[:1]
        tokens = jnp.concatenate([first, tokens], axis=1)
        for block in encoder.blocks:
            tokens = block(tokens)
        return encoder.norm(tokens)[:, 1:]

    def _decode(self, tokens: Float[Array, "b n c"]) -> Float[Array, "b h w 3"]:
        x = tokens + sincos_grid(self.side, self.side, tokens.shape[-1]).reshape(
            self.side**2, -1
        ).astype(tokens.dtype)
        for block in self.blocks:
            x = block(x)
        x = self.pixels(self.norm(x)).astype(jnp.float32)
        return from_patches(x.reshape(len(x), self.side, self.side, -1), self.patch)
