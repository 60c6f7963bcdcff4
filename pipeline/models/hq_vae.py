"""HQ-VAE: hierarchies of stochastically quantised latents (Takida et al., arXiv 2401.00365), in its
two forms.

SQVAE2 injects codes top-down at several resolutions, a Bayesian VQ-VAE-2; RSQVAE quantises one
feature map, then what is left of it, and so on, a Bayesian RQ-VAE. Both minimise

    -log p(x | Z_1 .. Z_L) + sum_l KL(q(Z_l | x, Z_<l) || uniform) + penalty,

where the first two terms are the negative ELBO of the model that draws codes uniformly and decodes
them: with codes drawn, as evaluation does, they bound a code length. The penalty, sum_l |x_l -
Z_l|^2 / 2 s_l^2 of the vectors x_l before quantisation, comes from the paper's continuous variables
between the two (its ELBO has both); it is 0 or more, no part of the bound above, and an entry of
`aux`. In training codes are Gumbel-softmaxes, whose temperature falls with the step: averages of
codes, so that the figures of training are no bounds, and lie below evaluation's at first.

We deviate: the top-down path is one for inference and generation; a LayerNorm before the vectors
that are quantised, and no batch norm; the likelihood is a discretised Gaussian whose scale is a
parameter, instead of the root mean square of the batch, which is that parameter's optimum; the
vectors have no noise of their own, as in the code of SQ-VAE.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from pipeline.bottlenecks.stochastic_quantizer import StochasticQuantizer, commitment_loss
from pipeline.core import pixels, schedules
from pipeline.core.errors import ConfigError
from pipeline.core.types import Batch, Latent, Likelihood, Outputs
from pipeline.distributions import heads
from pipeline.nn.conv import Conv, UpsamplingConv
from pipeline.nn.init import LayerFactory, layer_factory
from pipeline.nn.norm import LayerNorm
from pipeline.priors import hierarchy
from pipeline.priors.hierarchy import LayerInput

# exp(-1e-5 step), until it is 0.01.
GUMBEL_TEMPERATURE = dict(name="geometric", start=1.0, end=0.01, steps=460_517)


class Residual(nnx.Module):
    """x + conv 1x1(relu(conv 3x3(relu(x))))."""

    def __init__(self, width: int, *, make: LayerFactory):
        self.spatial, self.pointwise = make(Conv, width, width, 3), make(Conv, width, width, 1)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        return x + self.pointwise(nnx.relu(self.spatial(nnx.relu(x))))


class Down(nnx.Module):
    """`halvings` 4x4 convolutions of stride 2, then `depth` residual blocks."""

    def __init__(
        self, in_features: int, width: int, *, halvings: int, depth: int, make: LayerFactory
    ):
        widths = [in_features, *(max(1, width >> left) for left in reversed(range(halvings)))]
        self.convs = nnx.List(
            [make(Conv, i, o, 4, stride=2, padding=(1, 1)) for i, o in itertools.pairwise(widths)]
        )
        self.blocks = nnx.List([Residual(width, make=make) for _ in range(depth)])

    def __call__(self, x: Float[Array, "b h w _"]) -> Float[Array, "b h2 w2 c"]:
        for conv in self.convs:
            x = nnx.relu(conv(x))
        for block in self.blocks:
            x = block(x)
        return x


class Up(nnx.Module):
    """`depth` residual blocks, then `halvings` doublings of the resolution.

    The last convolution gives the channels of the likelihood.
    """

    def __init__(
        self, width: int, num_outputs: int, *, halvings: int, depth: int, make: LayerFactory
    ):
        self.blocks = nnx.List([Residual(width, make=make) for _ in range(depth)])
        widths = [*(max(1, width >> done) for done in range(halvings)), num_outputs]
        self.convs = nnx.List([make(UpsamplingConv, i, o) for i, o in itertools.pairwise(widths)])

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 p"]:
        for block in self.blocks:
            x = block(x)
        for conv in self.convs:
            x = conv(nnx.relu(x))
        return x


class ToVectors(nnx.Module):
    """Feature maps -> vectors to be quantized, with about the spread of the initial codes."""

    def __init__(self, in_features: int, dim: int, *, make: LayerFactory):
        self.norm = LayerNorm(in_features)
        self.project = make(Conv, in_features, dim, 1)

    def __call__(self, *maps: Float[Array, "b h w _"]) -> Float[Array, "b h w d"]:
        return self.project(self.norm(jnp.concatenate(maps, axis=-1))).astype(jnp.float32)


class InjectedLayer(nnx.Module):
    """A top-down layer that adds codes of both ways to x; the last of a scale doubles the size."""

    def __init__(
        self,
        width: int,
        dim: int,
        num_codes: int,
        *,
        variance: float | int,
        depth: int,
        doubles: bool,
        make: LayerFactory,
    ):
        self.vectors = ToVectors(2 * width, dim, make=make)
        self.quantizer = _quantizer(num_codes, dim, variance, make)
        self.inject = make(Conv, dim, width, 3)
        self.blocks = nnx.List([Residual(width, make=make) for _ in range(depth)])
        self.double = make(UpsamplingConv, width, width) if doubles else None

    def infer(
        self,
        x: Float[Array, "b h w c"],
        up: Float[Array, "b h w c"],
        key: PRNGKeyArray | None,
        gumbel_temperature: Any,
    ) -> tuple[Float[Array, "b h2 w2 c"], Latent, Float[Array, " b"]]:
        """Return x with the codes, the latent, and the penalty."""
        vectors = self.vectors(up, x)
        latent = self.quantizer(vectors, key, gumbel_temperature)
        return (
            self(x, latent.z),
            latent,
            commitment_loss(vectors, latent.z, self.quantizer.variance()),
        )

    def __call__(
        self, x: Float[Array, "b h w c"], z: Float[Array, "b h w d"]
    ) -> Float[Array, "b h2 w2 c"]:
        x = x + self.inject(z)
        for block in self.blocks:
            x = block(x)
        return x if self.double is None else self.double(nnx.relu(x))


class SQVAE2(nnx.Module):
    """Codes injected top-down, with several layers per resolution.

    Args:
      halvings: number of halvings from the image's resolution to the lowest layers'; each scale has
        half the resolution of the one below it.
      layers: stochastic layers of each scale, top first.
      width: channels of all feature maps, except in the convolutions that halve and double the
        image.
      depth: residual blocks after each change of resolution, and after each layer.
      num_codes, dim: of each layer's codebook.
      variance: s^2 at the start, larger for a larger dim.
      gumbel_temperature: a number or a schedule (pipeline.core.schedules), of training.
      likelihood: a name or dict for pipeline.distributions.heads.create.
    """

    codec_kind, is_video = "fixed_size", False

    def __init__(
        self,
        *,
        image_size: int,
        image_channels: int = 3,
        halvings: int = 2,
        layers: Sequence[int] = (1, 1),
        width: int = 128,
        depth: int = 2,
        num_codes: int = 512,
        dim: int = 64,
        variance: float | int = 20.0,
        gumbel_temperature: float | int | Mapping[str, Any] = GUMBEL_TEMPERATURE,
        likelihood: str | Mapping[str, Any] = "discretized_gaussian",
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        scales = len(layers)
        if not layers or min(layers) < 1:
            raise ConfigError(
                f"model.layers={tuple(layers)} must be numbers above 0, the layers of each scale, "
                "top first"
            )
        _check(image_size, halvings, scales, num_codes, dim, variance)
        make = layer_factory(rngs.params(), dtype)
        self.image_size, self.image_channels = image_size, image_channels
        self.width, self.dtype, self.num_codes = width, dtype, num_codes
        self.gumbel_temperature = _gumbel_schedule(gumbel_temperature)
        self.head = heads.create(likelihood, image_channels)
        # Bottom-up, from the largest resolution.
        first = Down(image_channels, width, halvings=halvings, depth=depth, make=make)
        rest = [Down(width, width, halvings=1, depth=depth, make=make) for _ in range(scales - 1)]
        self.up = nnx.List([first, *rest])
        # Top-down: the scale of each layer, counted from the largest resolution.
        self.scales = tuple(
            scale for scale, number in zip(reversed(range(scales)), layers) for _ in range(number)
        )
        last_of_scale = [here != below for here, below in zip(self.scales, (*self.scales[1:], 0))]
        settings: Any = dict(variance=variance, depth=depth, make=make)
        self.down = nnx.List(
            [
                InjectedLayer(width, dim, num_codes, doubles=last, **settings)
                for last in last_of_scale
            ]
        )
        self.decoder = Up(width, self.head.num_channels, halvings=halvings, depth=depth, make=make)
        sides = [image_size >> (halvings + scale) for scale in self.scales]
        self.num_layers = len(sides)
        self.latent_shapes = tuple((side, side, dim) for side in sides)

    def __call__(self, batch: Batch, *, key: PRNGKeyArray | None, train: bool) -> Outputs:
        """Return codes and the likelihood given them; training relaxes codes (batch["step"])."""
        gumbel = self.gumbel_temperature(batch.get("step", 0)) if train else None
        x, latents, penalty = self._infer(batch["image"], key, gumbel)
        return Outputs(self.head(self.decoder(x)), latents, {"penalty": penalty})

    def encode(
        self, image: Shaped[Array, "b h w c"], *, key: PRNGKeyArray | None = None
    ) -> tuple[Latent, ...]:
        """Return codes of uint8 or [-1, 1] images, each given the codes above it.

        They are drawn with a key, and without one the most probable.
        """
        return self._infer(image, key, None)[1]

    decode = hierarchy.decode

    def latents_of(self, indices: Sequence[Int[Array, "b h w"]]) -> tuple[Array, ...]:
        """Return the latents of the indices of codes, top layer first."""
        return tuple(
            block.quantizer.decode_indices(each) for block, each in zip(self.down, indices)
        )

    def generate(self, layers: Sequence[LayerInput], batch: int) -> Likelihood:
        """Return the likelihood given the layers' codes; see pipeline.priors.hierarchy.decode.

        Codes that are not given are drawn uniformly, or without a key the mean of their codebook.
        """
        x = self._start(batch)
        for block, layer, shape in zip(self.down, layers, self.latent_shapes, strict=True):
            x = block(x, _codes(block.quantizer, layer, (batch, *shape[:-1])))
        return self.head(self.decoder(x))

    def _infer(
        self, image: Array, key: PRNGKeyArray | None, gumbel_temperature: Any
    ) -> tuple[Array, tuple[Latent, ...], Float[Array, " b"]]:
        x, ups = pixels.to_float(image), []
        for down in self.up:
            x = down(x)
            ups.append(x)

        def step(layer: int, carry: Any, key: PRNGKeyArray | None) -> tuple[Any, Latent]:
            x, penalty = carry
            up = ups[self.scales[layer]]
            x, latent, own = self.down[layer].infer(x, up, key, gumbel_temperature)
            return (x, penalty + own), latent

        batch = image.shape[0]
        start = (self._start(batch), jnp.zeros((batch,), jnp.float32))
        (x, penalty), latents = hierarchy.infer(step, start, self.num_layers, key)
        return x, latents, penalty

    def _start(self, batch: int) -> Array:
        side = self.latent_shapes[0][0]
        return jnp.zeros((batch, side, side, self.width), self.dtype)


class RSQVAE(nnx.Module):
    """Codes of one feature map, then of its residual, `levels` times; their sum is decoded.

    Given the codes, the sum has the variance sum_l s_l^2, so that the penalty is
    |x - sum_l Z_l|^2 / 2 sum_l s_l^2. The arguments are the same as SQVAE2's with a single scale.
    """

    codec_kind, is_video = "fixed_size", False

    def __init__(
        self,
        *,
        image_size: int,
        image_channels: int = 3,
        halvings: int = 2,
        levels: int = 4,
        width: int = 128,
        depth: int = 2,
        num_codes: int = 512,
        dim: int = 64,
        variance: float | int = 20.0,
        gumbel_temperature: float | int | Mapping[str, Any] = GUMBEL_TEMPERATURE,
        likelihood: str | Mapping[str, Any] = "discretized_gaussian",
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        _check(image_size, halvings, 1, num_codes, dim, variance)
        if levels < 1:
            raise ConfigError(f"model.levels={levels} must be above 0")
        make = layer_factory(rngs.params(), dtype)
        self.image_size, self.image_channels = image_size, image_channels
        self.num_codes = num_codes
        self.gumbel_temperature = _gumbel_schedule(gumbel_temperature)
        self.head = heads.create(likelihood, image_channels)
        self.encoder = Down(image_channels, width, halvings=halvings, depth=depth, make=make)
        self.vectors = ToVectors(width, dim, make=make)
        self.quantizers = nnx.List(
            [_quantizer(num_codes, dim, variance, make) for _ in range(levels)]
        )
        self.inject = make(Conv, dim, width, 3)
        self.decoder = Up(width, self.head.num_channels, halvings=halvings, depth=depth, make=make)
        side = image_size >> halvings
        self.num_layers = levels
        self.latent_shapes = ((side, side, dim),) * levels

    def __call__(self, batch: Batch, *, key: PRNGKeyArray | None, train: bool) -> Outputs:
        """Return codes and the likelihood given them; training relaxes codes (batch["step"])."""
        gumbel = self.gumbel_temperature(batch.get("step", 0)) if train else None
        latents, left = self._infer(batch["image"], key, gumbel)
        total = jnp.stack([quantizer.variance() for quantizer in self.quantizers]).sum()
        penalty = commitment_loss(left, jnp.zeros_like(left), total)
        return Outputs(
            self._likelihood([latent.z for latent in latents]), latents, {"penalty": penalty}
        )

    def encode(
        self, image: Shaped[Array, "b h w c"], *, key: PRNGKeyArray | None = None
    ) -> tuple[Latent, ...]:
        """Return codes of uint8 or [-1, 1] images, each of the residual of those before.

        They are drawn with a key, and without one the most probable.
        """
        return self._infer(image, key, None)[0]

    decode = hierarchy.decode

    def latents_of(self, indices: Sequence[Int[Array, "b h w"]]) -> tuple[Array, ...]:
        """Return the latents of the indices of codes, first level first."""
        return tuple(
            quantizer.decode_indices(each) for quantizer, each in zip(self.quantizers, indices)
        )

    def generate(self, layers: Sequence[LayerInput], batch: int) -> Likelihood:
        """Return the likelihood given the levels' codes; draws are as in SQVAE2.generate."""
        shape = (batch, *self.latent_shapes[0][:-1])
        codes = [
            _codes(quantizer, layer, shape)
            for quantizer, layer in zip(self.quantizers, layers, strict=True)
        ]
        return self._likelihood(codes)

    def _infer(
        self, image: Array, key: PRNGKeyArray | None, gumbel_temperature: Any
    ) -> tuple[tuple[Latent, ...], Float[Array, "b h w d"]]:
        """Return the latents, and the residual of the vectors after them."""

        def step(level: int, left: Array, key: PRNGKeyArray | None) -> tuple[Array, Latent]:
            latent = self.quantizers[level](left, key, gumbel_temperature)
            return left - latent.z, latent

        vectors = self.vectors(self.encoder(pixels.to_float(image)))
        left, latents = hierarchy.infer(step, vectors, self.num_layers, key)
        return latents, left

    def _likelihood(self, codes: Sequence[Float[Array, "b h w d"]]) -> Likelihood:
        return self.head(self.decoder(self.inject(sum(codes))))


def _quantizer(
    num_codes: int, dim: int, variance: float | int, make: LayerFactory
) -> StochasticQuantizer:
    return make(StochasticQuantizer, num_codes=num_codes, latent_channels=dim, variance=variance)


def _codes(
    quantizer: StochasticQuantizer, layer: LayerInput, shape: tuple[int, ...]
) -> Float[Array, "b _ _ d"]:
    """Return the codes that are given, or codes from their prior."""
    return quantizer.prior(shape, layer.key, layer.temperature) if layer.z is None else layer.z


def _gumbel_schedule(recipe: float | int | Mapping[str, Any]) -> schedules.Schedule:
    if isinstance(recipe, float | int) and recipe <= 0:
        raise ConfigError(f"model.gumbel_temperature={recipe} must be above 0")
    return schedules.create(recipe, where="model.gumbel_temperature")


def _check(
    image_size: int, halvings: int, scales: int, num_codes: int, dim: int, variance: float | int
) -> None:
    if halvings < 1 or image_size % 2 ** (halvings + scales - 1):
        raise ConfigError(
            f"model.halvings={halvings} must be 1 or more, and model.image_size={image_size} a "
            f"multiple of {2 ** (max(1, halvings) + scales - 1)}, to be halved for {scales} scales"
        )
    if min(num_codes, dim) < 1 or variance <= 0:
        raise ConfigError(
            f"model.num_codes={num_codes}, model.dim={dim} and model.variance={variance} must be "
            "above 0"
        )
