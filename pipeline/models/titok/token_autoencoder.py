"""What the autoencoders of images as short sequences of tokens share."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from pipeline.core import pixels
from pipeline.core.construct import construct, find
from pipeline.core.errors import ConfigError
from pipeline.core.types import Batch, Latent, Outputs
from pipeline.distributions.continuous import Reconstruction
from pipeline.models.titok import transformer
from pipeline.models.titok.patches import PatchDecoder
from pipeline.models.titok.transformer import TokenEncoder, learned
from pipeline.nn.tokens.patches import from_patches
from pipeline.priors import hierarchy
from pipeline.priors.hierarchy import LayerInput, layer_key

BOTTLENECKS = "pipeline.bottlenecks"
# Sizes of a transformer that a recipe may leave out: TiTok's base.
BASE = dict(width=768, depth=12, heads=12)


class TokenAutoencoder(nnx.Module):
    """Patches and learned tokens -> a transformer -> latents of the tokens -> patches.

    Attributes:
      encoder_class, sequence_class: classes of the encoder, and of the decoders' transformers.
    """

    codec_kind, is_video, num_layers = "fixed_size", False, 1
    encoder_parts = ("encoder", "tokens", "bottleneck")
    # As in pipeline.models.autoencoder.
    parts: ClassVar = {"bottleneck": BOTTLENECKS}
    given = ("latent_channels", "key", "dtype")
    last_layer = "decoder.project.kernel"
    encoder_class: Any = TokenEncoder
    sequence_class: type[transformer.Sequence] = transformer.Sequence

    def __init__(
        self,
        *,
        image_size: int,
        image_channels: int,
        patch: int,
        num_tokens: int,
        latent_channels: int,
        encoder_size: Mapping[str, Any],
        decoder_size: Mapping[str, Any],
        bottleneck: Mapping[str, Any],
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        if image_size % patch:
            raise ConfigError(
                f"model.image_size={image_size} must be a multiple of {patch}, the side of a patch"
            )
        kind: Any = find(BOTTLENECKS, str(bottleneck.get("name")), where="model.bottleneck")
        self.image_size, self.image_channels, self.patch = image_size, image_channels, patch
        self.side, self.num_tokens, self.latent_channels = (
            image_size // patch,
            num_tokens,
            latent_channels,
        )
        self.latent_shapes = ((num_tokens, latent_channels),)
        sizes = sizes_of(encoder_size, "model.encoder_size")
        self.encoder: Any = self.encoder_class(
            in_channels=image_channels,
            out_channels=kind.num_inputs(latent_channels),
            side=self.side,
            patch=patch,
            num_tokens=num_tokens,
            untransposed=False,
            rngs=rngs,
            dtype=dtype,
            **sizes,
        )
        self.tokens = learned(rngs, (num_tokens, sizes["width"]))
        self.decoder = self.patch_decoder(
            decoder_size, patch**2 * image_channels, "model.decoder_size", rngs, dtype
        )
        self.bottleneck = construct(
            BOTTLENECKS,
            bottleneck,
            where="model.bottleneck",
            latent_channels=latent_channels,
            key=rngs.params(),
            dtype=dtype,
        )
        self.num_codes: int = getattr(self.bottleneck, "num_codes", 0)

    def patch_decoder(
        self, settings: Mapping[str, Any], out: int, where: str, rngs: nnx.Rngs, dtype: Any
    ) -> PatchDecoder:
        """Return a decoder from the latents to `out` numbers for each patch."""
        return PatchDecoder(
            in_channels=self.latent_channels,
            out_channels=out,
            side=self.side,
            num_tokens=self.num_tokens,
            sequence_class=self.sequence_class,
            rngs=rngs,
            dtype=dtype,
            **sizes_of(settings, where),
        )

    def encode(
        self, image: Shaped[Array, "b h w c"], *, key: PRNGKeyArray | None = None
    ) -> tuple[Latent, ...]:
        """Return the posterior of uint8 or [-1, 1] images; z is its mode, or a key's sample."""
        h = self.encoder(pixels.to_float(image), self.tokens[...])
        return (self.bottleneck(h, layer_key(key, 0)),)

    decode = hierarchy.decode

    def generate(self, layers: Sequence[LayerInput], batch: int) -> Reconstruction:
        """Return the images of latents, given or drawn; see pipeline.priors.hierarchy.decode."""
        (layer,) = layers
        z = layer.z
        if z is None:
            shape = (batch, *self.latent_shapes[0][:-1])
            z = self.bottleneck.prior(shape, layer.key, layer.temperature)
        return Reconstruction(self.pixels_of(z))

    def pixels_of(self, z: Float[Array, "b n d"]) -> Float[Array, "b h w c"]:
        """Return the images of latents."""
        patches = self.decoder(z).reshape(len(z), self.side, self.side, -1)
        return from_patches(patches, self.patch)

    def __call__(self, batch: Batch, *, key: PRNGKeyArray | None, train: bool) -> Outputs:
        """Return posterior and reconstruction; `aux` has what the bottleneck learns from."""
        h = self.encoder(pixels.to_float(jnp.asarray(batch["image"])), self.tokens[...])
        latent, aux = self.latent_of(h, key, train, batch)
        return Outputs(Reconstruction(self.pixels_of(latent.z)), (latent,), aux)

    def latent_of(
        self, h: Float[Array, "b n d"], key: PRNGKeyArray | None, train: bool, batch: Batch
    ) -> tuple[Latent, dict[str, Any]]:
        """Return the latent of features, and in training what the bottleneck's terms compare."""
        key = layer_key(key, 0)
        if train and hasattr(self.bottleneck, "learn"):
            return self.bottleneck.learn(h, key, batch.get("step", 0))
        return self.bottleneck(h, key), {}


def sizes_of(settings: Mapping[str, Any], where: str) -> dict[str, int]:
    """Return width, depth and heads of a transformer. Raises ConfigError for another key."""
    if unknown := sorted(set(settings) - set(BASE)):
        raise ConfigError(f"{where}.{unknown[0]} is unknown: a transformer has {', '.join(BASE)}")
    return {**BASE, **settings}
