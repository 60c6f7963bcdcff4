"""VQ-VAE-2 (arXiv 1906.00446): codes of the whole image at the top, and of its details below.

The lower codes are chosen given the upper ones, and both are decoded together. The networks are
those of VQ-VAE (pipeline.networks.residual_stack), and the sizes those of the best known port, as
the authors released no code for it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from pipeline.core import pixels
from pipeline.core.construct import construct
from pipeline.core.errors import ConfigError
from pipeline.core.types import Batch, Latent, Outputs
from pipeline.distributions.continuous import Reconstruction
from pipeline.networks.residual_stack import Decoder, Trunk
from pipeline.nn.conv import Conv, TransposedConv
from pipeline.priors import hierarchy
from pipeline.priors.hierarchy import LayerInput, layer_key

BOTTLENECKS = "pipeline.bottlenecks"
HALVINGS = 2  # from the image to the lower codes; the upper ones have half their resolution


class VQVAE2(nnx.Module):
    """Two layers of codes, at an eighth of the image's resolution and at a quarter.

    Args:
      image_size, image_channels: shape of an image.
      bottleneck: recipe of both layers' quantizers, a dict with the key `name`, of single codes.
      latent_channels: dimension of a code.
      width, hidden, depth: as in pipeline.networks.residual_stack.
    """

    codec_kind, is_video, num_layers = "fixed_size", False, 2
    # As in pipeline.models.autoencoder.
    parts: ClassVar = {"bottleneck": BOTTLENECKS}
    given = ("latent_channels", "key", "dtype")
    last_layer = f"decoder.doubling.{HALVINGS - 1}.kernel"

    def __init__(
        self,
        *,
        image_size: int,
        image_channels: int = 3,
        bottleneck: Mapping[str, Any],
        latent_channels: int = 64,
        width: int = 128,
        hidden: int = 32,
        depth: int = 2,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        factor = 2 ** (HALVINGS + 1)
        if image_size % factor:
            raise ConfigError(f"model.image_size={image_size} must be a multiple of {factor}")
        sizes: Any = dict(width=width, hidden=hidden, depth=depth, rngs=rngs, dtype=dtype)
        dim = latent_channels
        self.encoder = Trunk(in_channels=image_channels, halvings=HALVINGS, **sizes)
        self.upper_encoder = Trunk(in_channels=width, halvings=1, **sizes)
        self.to_upper = _pointwise(width, dim, rngs, dtype)
        self.upper_decoder = Decoder(in_channels=dim, out_channels=dim, halvings=1, **sizes)
        self.to_lower = _pointwise(dim + width, dim, rngs, dtype)
        self.upsample = TransposedConv(dim, dim, bias_scale=1.0, key=rngs.params(), dtype=dtype)
        self.decoder = Decoder(
            in_channels=2 * dim, out_channels=image_channels, halvings=HALVINGS, **sizes
        )
        self.quantizers = nnx.List(
            [
                construct(
                    BOTTLENECKS,
                    bottleneck,
                    where="model.bottleneck",
                    latent_channels=dim,
                    key=rngs.params(),
                    dtype=dtype,
                )
                for _ in range(self.num_layers)
            ]
        )
        self.num_codes: int = getattr(self.quantizers[0], "num_codes", 0)
        if not self.num_codes or hasattr(self.quantizers[0], "codes_per_position"):
            raise ConfigError(
                f"model.bottleneck.name={bottleneck['name']!r} must be a quantizer of single codes"
            )
        self.image_size, self.image_channels = image_size, image_channels
        sides = (image_size // factor, image_size // 2**HALVINGS)
        self.latent_shapes = tuple((side, side, dim) for side in sides)

    def encode(
        self, image: Shaped[Array, "b h w c"], *, key: PRNGKeyArray | None = None
    ) -> tuple[Latent, ...]:
        """Return the codes of uint8 or [-1, 1] images, the lower ones given the upper ones."""
        return self._infer(image, key, lambda layer, h, key: (self.quantizers[layer](h, key), {}))[
            0
        ]

    decode = hierarchy.decode

    def latents_of(self, indices: Sequence[Int[Array, "b h w"]]) -> tuple[Array, ...]:
        """Return the codes of indices, upper layer first."""
        return tuple(
            quantizer.decode_indices(each) for quantizer, each in zip(self.quantizers, indices)
        )

    def generate(self, layers: Sequence[LayerInput], batch: int) -> Reconstruction:
        """Return the images of codes, given or drawn; see pipeline.priors.hierarchy.decode."""
        upper, lower = (
            quantizer.prior((batch, *shape[:-1]), layer.key, layer.temperature)
            if layer.z is None
            else layer.z
            for quantizer, layer, shape in zip(self.quantizers, layers, self.latent_shapes)
        )
        return self._decode(upper, lower)

    def __call__(self, batch: Batch, *, key: PRNGKeyArray | None, train: bool) -> Outputs:
        """Return the codes and the reconstruction; in training, `aux` has the pairs to compare."""
        step = batch.get("step", 0)

        def quantize(layer: int, h: Array, key: PRNGKeyArray | None) -> tuple[Latent, Any]:
            quantizer: Any = self.quantizers[layer]
            if train and hasattr(quantizer, "learn"):
                return quantizer.learn(h, key, step)
            return quantizer(h, key), {}

        latents, (upper, lower) = self._infer(batch["image"], key, quantize)
        pairs = {
            name: upper[name] + lower[name] for name in upper if isinstance(upper[name], tuple)
        }
        return Outputs(self._decode(*(latent.z for latent in latents)), latents, pairs)

    def _infer(
        self, image: Array, key: PRNGKeyArray | None, quantize: Any
    ) -> tuple[tuple[Latent, Latent], tuple[Any, Any]]:
        features = self.encoder.features(pixels.to_float(image))
        h = self.to_upper(self.upper_encoder.features(features))
        upper, of_upper = quantize(0, h, layer_key(key, 0))
        shown, _ = self.upper_decoder(upper.z)
        h = self.to_lower(jnp.concatenate([shown.astype(features.dtype), features], axis=-1))
        lower, of_lower = quantize(1, h, layer_key(key, 1))
        return (upper, lower), (of_upper, of_lower)

    def _decode(
        self, upper: Float[Array, "b h w d"], lower: Float[Array, "b h2 w2 d"]
    ) -> Reconstruction:
        z = jnp.concatenate([self.upsample(upper).astype(jnp.float32), lower], axis=-1)
        return Reconstruction(self.decoder(z)[0])


def _pointwise(width: int, out: int, rngs: nnx.Rngs, dtype: Any) -> Conv:
    return Conv(width, out, 1, bias_scale=1.0, key=rngs.params(), dtype=dtype)
