"""TiTok (arXiv 2406.07550): an image is a sequence of tokens, each about the whole of it.

A transformer reads the image's patches together with learned tokens, whose outputs are quantized. A
second one predicts from these, for each patch, the code that another tokenizer gives to it (the
proxy codes), and the expected code is decoded to pixels by a convolutional decoder.

Training has two stages. In the first the logits of the proxy codes are trained (`proxy_codes`), and
the pixels' decoder is frozen. In the second the encoder and the codes are frozen, and both decoders
are trained on pixels.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from pipeline.core import pixels
from pipeline.core.construct import construct
from pipeline.core.errors import ConfigError
from pipeline.core.types import Batch, Latent, Outputs
from pipeline.distributions.continuous import Reconstruction
from pipeline.models.titok.transformer import TokenDecoder, TokenEncoder, learned
from pipeline.nn import init
from pipeline.priors import hierarchy
from pipeline.priors.hierarchy import LayerInput, layer_key

NETWORKS, BOTTLENECKS = "pipeline.networks", "pipeline.bottlenecks"


class TiTok(nnx.Module):
    """A tokenizer of images of one size.

    Args:
      image_size, image_channels: shape of an image.
      num_tokens, latent_channels: number of tokens, and the dimension of their codes.
      width, depth, heads: of both transformers.
      bottleneck: recipe of the quantizer, a dict with the key `name`, of single codes.
      pixel_decoder: recipe of the network that decodes expected proxy codes; its spatial factor is
        the side of a patch.
      num_proxies, proxy_dim: number and dimension of the proxy codes.
      untransposed: as the released models, see pipeline.models.titok.transformer.TokenEncoder.
    """

    codec_kind, is_video, num_layers = "fixed_size", False, 1
    # As in pipeline.models.autoencoder.
    parts: ClassVar = {"bottleneck": BOTTLENECKS, "pixel_decoder": NETWORKS}
    given = ("in_channels", "out_channels", "latent_channels", "key", "rngs", "dtype")

    def __init__(
        self,
        *,
        image_size: int,
        image_channels: int = 3,
        num_tokens: int = 32,
        latent_channels: int = 12,
        width: int = 1024,
        depth: int = 24,
        heads: int = 16,
        bottleneck: Mapping[str, Any],
        pixel_decoder: Mapping[str, Any],
        num_proxies: int = 1024,
        proxy_dim: int = 256,
        untransposed: bool = True,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        same: Any = dict(rngs=rngs, dtype=dtype)
        self.pixel_decoder = construct(
            NETWORKS,
            pixel_decoder,
            where="model.pixel_decoder",
            in_channels=proxy_dim,
            out_channels=image_channels,
            **same,
        )
        patch: int = self.pixel_decoder.spatial_factor
        if image_size % patch:
            raise ConfigError(
                f"model.image_size={image_size} must be a multiple of {patch}, the side of a patch"
            )
        side = image_size // patch
        sizes: Any = dict(
            side=side, num_tokens=num_tokens, width=width, depth=depth, heads=heads, **same
        )
        self.encoder = TokenEncoder(
            in_channels=image_channels,
            out_channels=latent_channels,
            patch=patch,
            untransposed=untransposed,
            **sizes,
        )
        self.decoder = TokenDecoder(in_channels=latent_channels, num_codes=num_proxies, **sizes)
        self.tokens = learned(rngs, (num_tokens, width))
        self.proxies = nnx.Param(
            init.uniform(rngs.params(), (num_proxies, proxy_dim), 1 / num_proxies)
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
        if not self.num_codes or hasattr(self.bottleneck, "codes_per_position"):
            raise ConfigError(
                f"model.bottleneck.name={bottleneck['name']!r} must be a quantizer of single codes"
            )
        self.last_layer = f"pixel_decoder.{self.pixel_decoder.last_layer}"
        self.image_size, self.image_channels = image_size, image_channels
        self.latent_shapes = ((num_tokens, latent_channels),)

    def encode(
        self, image: Shaped[Array, "b h w c"], *, key: PRNGKeyArray | None = None
    ) -> tuple[Latent, ...]:
        """Return the codes of uint8 or [-1, 1] images."""
        return (self.bottleneck(self._features(image), layer_key(key, 0)),)

    decode = hierarchy.decode

    def latents_of(self, indices: Sequence[Int[Array, "b n"]]) -> tuple[Array, ...]:
        """Return the codes of indices."""
        (chosen,) = indices
        return (self.bottleneck.decode_indices(chosen),)

    def generate(self, layers: Sequence[LayerInput], batch: int) -> Reconstruction:
        """Return the images of codes, given or drawn; see pipeline.priors.hierarchy.decode."""
        (layer,) = layers
        z = layer.z
        if z is None:
            shape = (batch, *self.latent_shapes[0][:-1])
            z = self.bottleneck.prior(shape, layer.key, layer.temperature)
        return self._decode(self.decoder(z))

    def __call__(self, batch: Batch, *, key: PRNGKeyArray | None, train: bool) -> Outputs:
        """Return the codes and the reconstruction.

        In training `aux` has the pairs of the quantizer, and the "proxy_logits" [b side side k].
        """
        h, key = self._features(batch["image"]), layer_key(key, 0)
        if not train:
            latent = self.bottleneck(h, key)
            return Outputs(self._decode(self.decoder(latent.z)), (latent,))
        latent, pairs = self.bottleneck.learn(h, key, batch.get("step", 0))
        logits = self.decoder(latent.z)
        return Outputs(self._decode(logits), (latent,), {**pairs, "proxy_logits": logits})

    def _features(self, image: Shaped[Array, "b h w c"]) -> Float[Array, "b n d"]:
        return self.encoder(pixels.to_float(image), self.tokens[...])

    def _decode(self, logits: Float[Array, "b side side k"]) -> Reconstruction:
        expected = jax.nn.softmax(logits) @ self.proxies[...]
        return Reconstruction(self.pixel_decoder(expected)[0])
