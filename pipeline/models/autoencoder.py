"""A codec of images or clips: the encoder, bottleneck and decoder that its recipe names.

    config.model = dict(name="autoencoder.Autoencoder", image_size=256, latent_channels=4)
    config.model.encoder = dict(name="ldm.Encoder", channels=(128, 256, 512, 512), num_blocks=2)
    config.model.bottleneck = dict(name="gaussian.Gaussian")
    config.model.decoder = dict(name="ldm.Decoder", channels=(128, 256, 512, 512), num_blocks=3)

Networks are in pipeline.networks, bottlenecks in pipeline.bottlenecks. A codec is convolutional
throughout: it takes any multiple of its factors, and image_size and num_frames only apply to
samples and reports.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from pipeline.core import pixels
from pipeline.core.construct import construct, find
from pipeline.core.errors import ConfigError
from pipeline.core.types import Batch, Latent, Outputs, pixels_of
from pipeline.core.windows import Windows
from pipeline.distributions.continuous import Reconstruction
from pipeline.nn.cache import CausalCache
from pipeline.nn.clips.windows import in_windows
from pipeline.nn.conv import Conv
from pipeline.nn.norm import MOMENTUM
from pipeline.priors import hierarchy
from pipeline.priors.hierarchy import LayerInput, layer_key

NETWORKS, BOTTLENECKS = "pipeline.networks", "pipeline.bottlenecks"


class Autoencoder(nnx.Module):
    """q(z | x) and the decoder that reconstructs x from z.

    Args:
      encoder, bottleneck, decoder: recipes of the parts, each a dict with the key `name`.
      latent_channels: channels of a latent.
      quant_convs: 1x1 convolutions before the bottleneck and after it.
      remat: recompute activations in the backward pass of training, a stage of a network at a time.
      image_size, num_frames: size of samples, and of the clips and images in reports. num_frames is
        1 for images.

    Attributes:
      is_video, spatial_factor, temporal_factor: as the networks have them.
      encoder_causal, decoder_causal: whether chunks of a clip give the latents, and the frames, of
        the whole clip.
      windows: the fixed windows of time that belong to the networks (pipeline.core.windows), in
        which whole clips are coded too; None of most networks.
      last_layer: name of the kernel at the output, for adaptive weights of a discriminator.
      num_codes, codes_per_position: of a discrete bottleneck, the number of codes and how many a
        position has; 0 and 1 of another one.
    """

    codec_kind, num_layers = "any_size", 1
    regularizes_latents = True
    # The parts on whose arrays the latents depend.
    encoder_parts = ("encoder", "quant_conv", "bottleneck")
    # Settings that are recipes themselves, and the package in which each finds its name.
    parts: ClassVar = {"encoder": NETWORKS, "bottleneck": BOTTLENECKS, "decoder": NETWORKS}
    # Arguments of the parts that are not the recipe's to choose.
    given = ("in_channels", "out_channels", "latent_channels", "key", "rngs", "dtype")

    def __init__(
        self,
        *,
        encoder: Mapping[str, Any],
        bottleneck: Mapping[str, Any],
        decoder: Mapping[str, Any],
        latent_channels: int,
        quant_convs: bool = False,
        remat: bool = False,
        image_size: int = 256,
        image_channels: int = 3,
        num_frames: int = 1,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        kind: Any = find(BOTTLENECKS, str(bottleneck.get("name")), where="model.bottleneck")
        num_inputs = kind.num_inputs(latent_channels)

        def network(part: str, recipe: Mapping[str, Any], inputs: int, outputs: int) -> Any:
            channels = dict(in_channels=inputs, out_channels=outputs)
            where = f"model.{part}"
            return construct(NETWORKS, recipe, where=where, **channels, rngs=rngs, dtype=dtype)

        # Each layer takes the next key: the order in which they are made is part of a seed's
        # meaning.
        self.encoder = network("encoder", encoder, image_channels, num_inputs)
        self.decoder = network("decoder", decoder, latent_channels, image_channels)
        self.quant_conv = _pointwise(num_inputs, rngs, dtype) if quant_convs else None
        self.post_quant_conv = _pointwise(latent_channels, rngs, dtype) if quant_convs else None
        self.bottleneck = construct(
            BOTTLENECKS,
            bottleneck,
            where="model.bottleneck",
            latent_channels=latent_channels,
            key=rngs.params(),
            dtype=dtype,
        )
        self.is_video: bool = self.encoder.is_video
        self.spatial_factor: int = self.encoder.spatial_factor
        self.temporal_factor: int = self.encoder.temporal_factor
        self.encoder_causal: bool = self.encoder.causal
        self.decoder_causal: bool = self.decoder.causal
        self.last_layer = f"decoder.{self.decoder.last_layer}"
        self.windows: Windows | None = getattr(self.encoder, "windows", None)
        self._check_sizes(image_size, num_frames, encoder["name"], decoder["name"])
        self.image_size, self.image_channels = image_size, image_channels
        self.num_frames, self.latent_channels, self.remat = num_frames, latent_channels, remat
        side = image_size // self.spatial_factor
        frames = 1 + num_frames // self.temporal_factor
        frames = self.windows.num_latents(num_frames) if self.windows else frames
        time = (frames,) if self.is_video else ()
        self.latent_shapes = ((*time, side, side, latent_channels),)
        # Of a discrete bottleneck: the number of codes, and how many of them a position has.
        self.num_codes: int = getattr(self.bottleneck, "num_codes", 0)
        self.codes_per_position: int = getattr(self.bottleneck, "codes_per_position", 1)

    def encode(
        self,
        images: Shaped[Array, "b *t h w c"],
        *,
        key: PRNGKeyArray | None = None,
        cache: CausalCache | None = None,
    ) -> tuple[Latent, ...]:
        """Return the posterior of images or clips, uint8 or in [-1, 1].

        z is its mode, or with a key a sample.

        With `cache` a clip is the next chunk of a longer one (pipeline.nn.cache), which the encoder
        must be causal for.
        """
        h, _ = self._features(images, cache=cache)
        return (self.bottleneck(h, layer_key(key, 0)),)

    def encoded(self, images: Shaped[Array, "b *t h w c"]) -> Float[Array, "b *t2 h2 w2 d"]:
        """Return what the bottleneck takes, the parameters of the posterior of most codecs."""
        return self._features(images)[0]

    # decode(latents, *, num, key, temperature, cache); `cache` is as in encode, and the decoder
    # must be causal for it.
    decode = hierarchy.decode

    def __call__(self, batch: Batch, *, key: PRNGKeyArray | None, train: bool) -> Outputs:
        """Return posterior and reconstruction.

        `aux` pairs each of the encoder's arrays with the decoder's, and in training has what a
        discrete bottleneck gives to its loss terms. With batch["latent"], that is what is decoded:
        the latents of another codec, from which a decoder learns to read them. batch["regularize"]
        is a function of the latents whose result the decoder gets (pipeline.regularizers). With
        batch["encoded"], what `encoded` gives for the images, the encoder does not run.
        """
        remat = self.remat and train
        if "encoded" in batch:
            h, of_encoder = batch["encoded"], {}
        else:
            h, of_encoder = self._features(jnp.asarray(pixels_of(batch)), remat=remat)
        key, of_bottleneck = layer_key(key, 0), {}
        if train and hasattr(self.bottleneck, "learn"):
            latent, of_bottleneck = self.bottleneck.learn(h, key, batch.get("step", 0))
        else:
            latent = self.bottleneck(h, key)
        z = batch.get("latent", latent.z)
        z = batch["regularize"](z) if "regularize" in batch else z
        recon, of_decoder = self._decode(z, remat=remat, train=train)
        aux = {name: tuple(zip(of_encoder[name], of_decoder[name])) for name in of_encoder}
        return Outputs(Reconstruction(recon), (latent,), aux | of_bottleneck)

    def generate(
        self, layers: Sequence[LayerInput], batch: int, *, cache: CausalCache | None = None
    ) -> Reconstruction:
        """Return the images or clips of one layer's latents; see hierarchy.decode."""
        (layer,) = layers
        z = layer.z
        if z is None:
            shape = (batch, *self.latent_shapes[0][:-1])
            z = self.bottleneck.prior(shape, layer.key, layer.temperature)
        return Reconstruction(self._decode(z, cache=cache)[0])

    def integers(self, images: Shaped[Array, "b h w c"]) -> tuple[Float[Array, "b ..."], ...]:
        """Return what an entropy coder codes, of a bottleneck that has `integers`."""
        h, _ = self._features(images)
        return self.bottleneck.integers(h)

    def latents_of(
        self, indices: Sequence[Int[Array, "b ..."]]
    ) -> tuple[Float[Array, "b *t h w d"], ...]:
        """Return the latents of the indices of codes, for a discrete bottleneck."""
        (chosen,) = indices
        return (self.bottleneck.decode_indices(chosen),)

    def _features(
        self,
        images: Shaped[Array, "b *t h w c"],
        *,
        cache: CausalCache | None = None,
        remat: bool = False,
    ) -> tuple[Float[Array, "b *t2 h2 w2 d"], dict[str, Any]]:
        """Return what the bottleneck takes, and the encoder's arrays for losses."""
        h, aux = self._run(self.encoder, pixels.to_float(images), 1, cache, remat)
        return h if self.quant_conv is None else self.quant_conv(h), aux

    def _decode(
        self,
        z: Float[Array, "b *t h w d"],
        *,
        cache: CausalCache | None = None,
        remat: bool = False,
        train: bool = False,
    ) -> tuple[Float[Array, "b *t2 h2 w2 c"], dict[str, Any]]:
        z = z if self.post_quant_conv is None else self.post_quant_conv(z)
        by_batch = train and getattr(self.decoder, "has_running_statistics", False)
        momentum = {"momentum": MOMENTUM} if by_batch else {}
        return self._run(self.decoder, z, self.temporal_factor, cache, remat, **momentum)

    def _run(
        self,
        network: Any,
        x: Any,
        unit: int,
        cache: CausalCache | None,
        remat: bool,
        **settings: Any,
    ) -> tuple[Any, dict[str, Any]]:
        """Return the network's output and arrays; without a cache, of a whole clip."""
        if self.windows is None or cache is not None:  # with a cache, x is one window
            return network(x, remat=remat, **_cached(cache), **settings)
        return in_windows(network, x, self.windows, unit=unit, remat=remat), {}

    def _check_sizes(self, image_size: int, num_frames: int, encoder: str, decoder: str) -> None:
        for name in ("is_video", "spatial_factor", "temporal_factor", "windows"):
            one, other = (getattr(side, name, None) for side in (self.encoder, self.decoder))
            if one != other:
                raise ConfigError(
                    f"model.decoder ({decoder}) has {name} {other}, but model.encoder ({encoder}) "
                    f"has {one}"
                )
        space, time = self.spatial_factor, self.temporal_factor
        if image_size % space:
            raise ConfigError(
                f"model.image_size={image_size} must be a multiple of {space}, the pixels per "
                "latent along each side"
            )
        if not self.is_video and num_frames != 1:
            raise ConfigError(f"model.num_frames={num_frames} must be 1 for a codec of images")
        if self.windows and num_frames != self.windows.padded(num_frames):
            raise ConfigError(f"model.num_frames={num_frames} must be {self.windows.lengths}")
        if not self.windows and num_frames % time != 1 % time:
            raise ConfigError(f"model.num_frames={num_frames} must be 1 + {time}k")


def _pointwise(width: int, rngs: nnx.Rngs, dtype: Any) -> Conv:
    return Conv(width, width, 1, bias_scale=1.0, key=rngs.params(), dtype=dtype)


def _cached(cache: CausalCache | None) -> dict[str, Any]:
    # Only causal networks take a cache.
    return {} if cache is None else {"cache": cache}
