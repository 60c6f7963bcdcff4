"""Convolutional VAE with one latent vector and any likelihood (arXiv 1312.6114).

The network of Burgess et al. (arXiv 1804.03599, appendix A) is exactly channels=(32, 32, 32) at
32x32, or (32,) * 4 at 64x64, with hidden=(256, 256), likelihood="bernoulli" and input_range=(0.0,
1.0).

Weights of other libraries must be converted to this layout: feature maps are flattened as [h w c];
transposed kernels are [height, width, in, out], applied as convolutions of the dilated input
(torch's kernels flipped in both directions); and the last encoder layer outputs all means, then all
log-variances.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from pipeline import priors
from pipeline.conditioning.labels import AtSites, LabelConditioning, unconditioned
from pipeline.core import pixels
from pipeline.core.construct import construct
from pipeline.core.errors import ConfigError
from pipeline.core.types import Batch, Latent, Likelihood, Outputs
from pipeline.distributions import heads
from pipeline.distributions.continuous import clip_logvar, gaussian_log_prob, gaussian_sample
from pipeline.distributions.guidance import guided
from pipeline.nn.conv import convolve, transposed_convolve
from pipeline.nn.norm import MOMENTUM, Momentum
from pipeline.priors import hierarchy
from pipeline.priors.hierarchy import LayerInput, layer_key

HE = nnx.initializers.he_uniform()
# Layers that output parameters of distributions are initialized near zero: otherwise a mixture of
# narrow, misplaced logistics costs hundreds of bits per value at the first step.
NEAR_ZERO = nnx.initializers.variance_scaling(0.01, "fan_in", "uniform")


class Scale(nnx.Module):
    """Residual 3x3 convolutions at one resolution: x + relu(conv(x)), `depth` times."""

    def __init__(self, channels: int, depth: int, *, rngs: nnx.Rngs, dtype: Any):
        self.convs = nnx.List(
            [
                nnx.Conv(channels, channels, (3, 3), kernel_init=HE, dtype=dtype, rngs=rngs)
                for _ in range(depth)
            ]
        )

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        for conv in self.convs:
            x = x + nnx.relu(_convolved(conv, x))
        return x


class Encoder(nnx.Module):
    """4x4 convolutions of stride 2, then linear layers, each followed by ReLU.

    A last linear layer, without ReLU, has 2 * latent_dim outputs.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        latent_dim: int,
        channels: Sequence[int],
        hidden: Sequence[int],
        depth: int,
        *,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        widths = [image_shape[-1], *channels]
        self.convs = nnx.List(
            [
                nnx.Conv(
                    i,
                    o,
                    (4, 4),
                    2,
                    padding=((1, 1), (1, 1)),
                    kernel_init=HE,
                    dtype=dtype,
                    rngs=rngs,
                )
                for i, o in itertools.pairwise(widths)
            ]
        )
        self.scales = nnx.List([Scale(width, depth, rngs=rngs, dtype=dtype) for width in channels])
        sizes = [(image_shape[0] >> len(channels)) ** 2 * widths[-1], *hidden]
        self.linears = nnx.List(_linears(sizes, rngs=rngs, dtype=dtype))
        self.posterior = nnx.Linear(
            sizes[-1], 2 * latent_dim, kernel_init=NEAR_ZERO, dtype=dtype, rngs=rngs
        )

    def __call__(
        self, x: Float[Array, "b h w c"], condition: AtSites = unconditioned
    ) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        """Return the posterior's mean and clipped log-variance in float32.

        `condition` acts before each ReLU: behind convolutions, then behind linear layers.
        """
        for site, (conv, scale) in enumerate(zip(self.convs, self.scales)):
            x = scale(nnx.relu(condition(site, _convolved(conv, x))))
        flat = x.reshape(x.shape[0], -1)
        for site, linear in enumerate(self.linears, len(self.convs)):
            flat = nnx.relu(condition(site, linear(flat)))
        mean, logvar = jnp.split(self.posterior(flat).astype(jnp.float32), 2, axis=-1)
        return mean, clip_logvar(logvar)


class Decoder(nnx.Module):
    """Mirror image of the encoder: linear layers, then 4x4 transposed convolutions of stride 2.

    If depth is 0, the last transposed convolution outputs the head's channels. Otherwise it outputs
    channels[0] channels, and residual convolutions and a 1x1 convolution to the head's channels
    follow.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        latent_dim: int,
        channels: Sequence[int],
        hidden: Sequence[int],
        depth: int,
        *,
        num_outputs: int,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        self.shape = (image_shape[0] >> len(channels),) * 2 + (channels[-1],)
        sizes = [latent_dim, *reversed(hidden), self.shape[0] ** 2 * self.shape[2]]
        self.linears = nnx.List(_linears(sizes, rngs=rngs, dtype=dtype))
        widths = [*reversed(channels), channels[0] if depth else num_outputs]
        inits = [HE] * (len(channels) - 1) + [HE if depth else NEAR_ZERO]
        self.convs = nnx.List(
            [
                # Padding 2 of the dilated input is torch's padding=1: it doubles the size
                # exactly.
                nnx.ConvTranspose(
                    i,
                    o,
                    (4, 4),
                    2,
                    padding=((2, 2), (2, 2)),
                    kernel_init=init,
                    dtype=dtype,
                    rngs=rngs,
                )
                for (i, o), init in zip(itertools.pairwise(widths), inits)
            ]
        )
        self.scales = nnx.List(
            [Scale(width, depth, rngs=rngs, dtype=dtype) for width in widths[1:]]
        )
        out = nnx.Conv(
            channels[0], num_outputs, (1, 1), kernel_init=NEAR_ZERO, dtype=dtype, rngs=rngs
        )
        self.out = out if depth else None

    def __call__(
        self, z: Float[Array, "b d"], condition: AtSites = unconditioned
    ) -> Float[Array, "b h w p"]:
        """Return the head's input; `condition` acts before each ReLU but that of the last layer."""
        flat = z
        for site, linear in enumerate(self.linears):
            flat = nnx.relu(condition(site, linear(flat)))
        x = flat.reshape(flat.shape[0], *self.shape)
        for site, (conv, scale) in enumerate(
            zip(self.convs[:-1], self.scales[:-1]), len(self.linears)
        ):
            x = scale(nnx.relu(condition(site, _doubled(conv, x))))
        x = _doubled(self.convs[-1], x)
        return x if self.out is None else _convolved(self.out, self.scales[-1](nnx.relu(x)))


class VAE(nnx.Module):
    """VAE with the posterior q(z | x), the likelihood p(x | z) and the prior p(z).

    Args:
      image_size: height and width; must be a multiple of 2 ** len(channels).
      latent_dim: size of z.
      channels: channels after each halving of the resolution; the decoder has them in reverse.
      hidden: widths of the linear layers between the smallest feature map and the latents; may be
        empty.
      depth: number of residual 3x3 convolutions at each resolution; 0 for Burgess et al.'s network.
      likelihood: name or dict for pipeline.distributions.heads.create.
      flow: a flow of pipeline.flows that maps the posterior's Gaussian sample to z (arXiv
        1505.05770), as dict(name="planar.Planar", depth=8); None keeps the Gaussian. The flow's
        parameters do not depend on the image.
      conditioning: how class labels enter encoder and decoder (pipeline.conditioning), as
        dict(name="film.FiLM", num_classes=10); None for a model without labels.
      prior: a prior of pipeline.priors, such as dict(name="vamp.VampPrior"); None is N(0, 1).
      input_range: values to which black and white are mapped for the encoder.

    Attributes:
      num_layers, latent_shapes: 1 and ((latent_dim,),).
      num_classes: of the labels that `encode` and `decode` take; 0 without conditioning.
      label_dropout: share of the labels that training hides; above 0, `decode` takes `guidance`.
    """

    codec_kind, is_video = "fixed_size", False

    def __init__(
        self,
        *,
        image_size: int,
        image_channels: int = 3,
        latent_dim: int = 32,
        channels: Sequence[int] = (32, 32, 32),
        hidden: Sequence[int] = (256,),
        depth: int = 0,
        likelihood: str | Mapping[str, Any] = "discretized_gaussian",
        input_range: Sequence[float | int] = (-1.0, 1.0),
        flow: Mapping[str, Any] | None = None,
        conditioning: Mapping[str, Any] | None = None,
        prior: Mapping[str, Any] | None = None,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        if not channels or image_size % 2 ** len(channels):
            raise ConfigError(
                f"model.channels has {len(channels)} widths, each of which halves the image: "
                f"model.image_size={image_size} must be a multiple of {2 ** max(1, len(channels))}"
            )
        self.image_size, self.image_channels = image_size, image_channels
        self.num_layers = 1
        self.latent_shapes = ((latent_dim,),)
        self.input_range = (float(input_range[0]), float(input_range[1]))
        self.head = heads.create(likelihood, image_channels)
        shape = (image_size, image_size, image_channels)
        networks = (shape, latent_dim, tuple(channels), tuple(hidden), depth)
        self.encoder = Encoder(*networks, rngs=rngs, dtype=dtype)
        self.decoder = Decoder(
            *networks, num_outputs=self.head.num_channels, rngs=rngs, dtype=dtype
        )
        self.flow = (
            None
            if flow is None
            else construct(
                "pipeline.flows", flow, where="model.flow", features=latent_dim, key=rngs.params()
            )
        )
        flat = (image_size >> len(channels)) ** 2 * channels[-1]
        sites = {
            "encoder": (*channels, *hidden),
            "decoder": (*reversed(hidden), flat, *reversed(channels[:-1])),
        }
        self.conditioning = (
            None
            if conditioning is None
            else LabelConditioning(conditioning, sites, key=rngs.params(), dtype=dtype)
        )
        settings = self.conditioning.settings if self.conditioning else None
        self.num_classes = settings.num_classes if settings else 0
        self.label_dropout = settings.label_dropout if settings else 0.0
        posterior: dict[str, Any] = (
            {}
            if conditioning
            else dict(encoder=self.encoder, image_shape=shape, input_range=self.input_range)
        )
        self.prior = priors.create(
            prior,
            shape=(latent_dim,),
            key=rngs.params(),
            **posterior,
        )

    def encode(
        self,
        image: Shaped[Array, "b h w c"],
        *,
        key: PRNGKeyArray | None = None,
        label: Int[Array, " b"] | None = None,
        momentum: Momentum = None,
    ) -> tuple[Latent, ...]:
        """Return the posterior of images, which are uint8 or floats in [-1, 1].

        z is a sample of the Gaussian, or its mean if there is no key; the flow, if there is one,
        maps it. With a flow, or a prior without a closed form, `kl` is log q(z | x) - log p(z) of
        each element of z. A model with conditioning takes a label for each image, unknown by
        default.
        """
        low, high = self.input_range
        x = (pixels.to_float(image) + 1) * ((high - low) / 2) + low
        mean, logvar = self.encoder(x, self._condition("encoder", label, len(x), momentum))
        key = layer_key(key, 0)
        z = mean if key is None else gaussian_sample(key, mean, logvar)
        if self.flow is None:
            return (priors.latent(self.prior, z, mean, logvar, key=key),)
        log_q0 = gaussian_log_prob(z, mean, logvar)
        z, log_det = self.flow(z)
        return (priors.latent(self.prior, z, mean, logvar, log_q0 - log_det, key=key),)

    decode = hierarchy.decode

    def generate(
        self,
        layers: Sequence[LayerInput],
        batch: int,
        *,
        label: Int[Array, " b"] | None = None,
        guidance: Float[Array, ""] | float | None = None,
        momentum: Momentum = None,
    ) -> Likelihood:
        """Return p(x | z) for a given or drawn latent; see pipeline.priors.hierarchy.decode.

        With a scale of `guidance` the decoder also runs without labels, and pixels follow
        pipeline.distributions.guidance.
        """
        (layer,) = layers
        z = layer.latent_of(self.prior, batch)
        features = self.decoder(z, self._condition("decoder", label, batch, momentum))
        if guidance is not None:
            free = self.decoder(z, self._condition("decoder", None, batch, momentum))
            features = guided(self.head, features, free, guidance)
        return self.head(features)

    def __call__(self, batch: Batch, *, key: PRNGKeyArray | None, train: bool) -> Outputs:
        """Return the posterior and the likelihood of a batch.

        `train` hides a share of the labels, and lets batch norm follow the batch; without
        conditioning it has no effect.
        """
        settings: dict[str, Any] = {}
        if self.conditioning is not None:
            label = batch.get("label")
            settings = dict(label=label)
            if train:
                label = self.conditioning.in_training(label, key)
                settings = dict(label=label, momentum=MOMENTUM)
        latents = self.encode(batch["image"], key=key, **settings)
        return Outputs(self.decode([latent.z for latent in latents], **settings), latents)

    def _condition(
        self, part: str, label: Int[Array, " b"] | None, batch: int, momentum: Momentum
    ) -> AtSites:
        if self.conditioning is None:
            return unconditioned
        return self.conditioning.at(part, label, batch, momentum)


def _linears(sizes: Sequence[int], *, rngs: nnx.Rngs, dtype: Any) -> list[nnx.Linear]:
    return [
        nnx.Linear(i, o, kernel_init=HE, dtype=dtype, rngs=rngs)
        for i, o in itertools.pairwise(sizes)
    ]


# The layers are Flax's, for their initializers and their names in checkpoints, and are computed by
# ours: on a CPU, a step of the dSprites network takes 2.3 times as long with Flax's.


def _convolved(conv: nnx.Conv, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
    """Return conv(x), for a stride of 1, or of 2 with a kernel of 4x4 and a pixel around."""
    stride = 2 if conv.kernel.shape[0] == 4 else 1
    kernel, bias = _weights(conv)
    return convolve(x.astype(conv.dtype), kernel, stride, (1, 1) if stride == 2 else None, bias)


def _doubled(conv: nnx.ConvTranspose, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
    """Return conv(x), a transposed 4x4 convolution; Flax's is of the dilated input, ours adds."""
    kernel, bias = _weights(conv)
    return transposed_convolve(x.astype(conv.dtype), jnp.flip(kernel, (0, 1))) + bias


def _weights(conv: nnx.Conv | nnx.ConvTranspose) -> tuple[Array, Array]:
    assert conv.bias is not None
    return conv.kernel[...].astype(conv.dtype), conv.bias[...].astype(conv.dtype)
