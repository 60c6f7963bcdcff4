"""ResNet VAE with inverse autoregressive flows (Kingma et al., arXiv 1606.04934, section 5.2 and figure 3).

An encoder goes bottom-up through residual blocks; the decoder goes top-down through as many. Each has one stochastic
layer: its posterior's Gaussian adds what both ways say (bidirectional inference), and a convolutional flow moves the
sample on, with a context of both. Resolution halves at the first block of each scale but the largest.

We deviate: convolutions have no weight normalisation but in the masked ones, and there is no initialisation by data.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from pipeline.core import pixels
from pipeline.core.errors import ConfigError
from pipeline.core.types import Batch, Latent, Likelihood, Outputs
from pipeline.distributions import heads
from pipeline.distributions.continuous import clip_logvar, gaussian_log_prob, gaussian_sample
from pipeline.flows.conv_autoregressive import ConvIAF
from pipeline.nn.conv import Conv, UpsamplingConv
from pipeline.nn.init import LayerFactory, layer_factory
from pipeline.nn.resample import average_pool, nearest_upsample
from pipeline.priors.hierarchy import decode_arguments, layer_key

# How much of a residual branch is added, as the authors' code has it.
RESIDUAL = 0.1


class UpBlock(nnx.Module):
    """Bottom-up: x -> x + features, beside what the posterior and the flow take from here."""

    def __init__(self, width: int, zdim: int, *, halves: bool, make: LayerFactory):
        self.halves, self.sizes = halves, (width, width + 2 * zdim)
        self.split = make(Conv, width, 2 * width + 2 * zdim, 3, stride=2 if halves else 1)
        self.join = make(Conv, width, width, 3)

    def __call__(
        self, x: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, "b h2 w2 c"], tuple[Array, Array]]:
        """The activation, and (means and log-variances, context)."""
        features, moments, context = jnp.split(self.split(nnx.elu(x)), self.sizes, axis=-1)
        x = average_pool(x, 2) if self.halves else x
        return x + RESIDUAL * self.join(nnx.elu(features)), (moments.astype(jnp.float32), context)


class DownBlock(nnx.Module):
    """Top-down: one stochastic layer, then x -> x + features of x and z; the last of a scale doubles the resolution."""

    def __init__(
        self,
        width: int,
        zdim: int,
        *,
        flow_depth: int,
        mirrored: bool,
        doubles: bool,
        make: LayerFactory,
    ):
        self.zdim, self.doubles = zdim, doubles
        self.split = make(Conv, width, 2 * width + 4 * zdim, 3)
        flow = (
            ConvIAF(zdim, width, width, depth=flow_depth, mirrored=mirrored, make=make)
            if flow_depth
            else None
        )
        self.flow = flow
        inputs = width + zdim
        self.join = make(UpsamplingConv, inputs, width) if doubles else make(Conv, inputs, width, 3)

    def infer(
        self, x: Float[Array, "b h w c"], up: tuple[Array, Array], key: PRNGKeyArray | None
    ) -> tuple[Float[Array, "b h2 w2 c"], Latent]:
        """A latent of the posterior: a sample, or without a key its Gaussian's mean moved on by the flow.

        `kl` is log q(z | x) - log p(z) of each element of that z, log q through the flow (paper, eq. 11).
        """
        features, prior_mean, prior_logvar, moments, context = self._split(x)
        mean, logvar = jnp.split(moments + up[0], 2, axis=-1)
        logvar = clip_logvar(logvar)
        start = mean if key is None else gaussian_sample(key, mean, logvar)
        z, log_q = start, gaussian_log_prob(start, mean, logvar)
        if self.flow is not None:
            z, log_det = self.flow(start, context + up[1])
            log_q = log_q - log_det
        kl = log_q - gaussian_log_prob(z, prior_mean, prior_logvar)
        return self._merge(x, features, z), Latent(
            z, kl, mean, logvar, prior_mean, prior_logvar, log_q=log_q
        )

    def generate(
        self,
        x: Float[Array, "b h w c"],
        z: Float[Array, "b h w d"] | None,
        key: PRNGKeyArray | None,
        temperature: Any,
    ) -> Float[Array, "b h2 w2 c"]:
        """The latent as given, or else from the prior with deviations times `temperature`; no key, its mean."""
        features, mean, logvar, _, _ = self._split(x)
        if z is None:
            z = mean if key is None else gaussian_sample(key, mean, logvar, temperature)
        return self._merge(x, features, z)

    def _split(self, x: Array) -> tuple[Array, Array, Array, Array, Array]:
        width, zdim = x.shape[-1], self.zdim
        ends = [width, width + zdim, width + 2 * zdim, width + 4 * zdim]
        features, mean, logvar, moments, context = jnp.split(self.split(nnx.elu(x)), ends, axis=-1)
        return (
            features,
            mean.astype(jnp.float32),
            clip_logvar(logvar),
            moments.astype(jnp.float32),
            context,
        )

    def _merge(self, x: Array, features: Array, z: Array) -> Array:
        branch = self.join(nnx.elu(jnp.concatenate([features, z.astype(features.dtype)], axis=-1)))
        return (nearest_upsample(x, 2) if self.doubles else x) + RESIDUAL * branch


class IAFVAE(nnx.Module):
    """The whole model.

    Args:
      num_scales: resolutions that have latents; the largest is half of the image's.
      blocks: stochastic layers at each.
      flow_depth: masked convolutions before the flow's last ones; 0 leaves the flow out.
      likelihood: a name or dict for pipeline.distributions.heads.create.
    """

    def __init__(
        self,
        *,
        image_size: int,
        image_channels: int = 3,
        num_scales: int = 2,
        blocks: int = 2,
        width: int = 160,
        zdim: int = 32,
        flow_depth: int = 2,
        likelihood: str | Mapping[str, Any] = "logistic_mixture",
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        if min(num_scales, blocks) < 1 or image_size % 2**num_scales:
            raise ConfigError(
                f"model.num_scales={num_scales} halvings and model.blocks={blocks} must be 1 or more, and "
                f"model.image_size={image_size} a multiple of {2 ** max(1, num_scales)}"
            )
        make = layer_factory(rngs.params(), dtype)
        self.image_size, self.image_channels, self.width, self.dtype = (
            image_size,
            image_channels,
            width,
            dtype,
        )
        self.num_layers = num_scales * blocks
        self.head = heads.create(likelihood, image_channels)
        self.first = make(Conv, image_channels, width, 5, stride=2, padding=(2, 2))
        # Bottom-up, from the largest resolution; the decoder's layers are the same ones, last first.
        halving = [
            scale > 0 and block == 0 for scale in range(num_scales) for block in range(blocks)
        ]
        self.up = nnx.List([UpBlock(width, zdim, halves=halves, make=make) for halves in halving])
        down = [
            DownBlock(
                width,
                zdim,
                flow_depth=flow_depth,
                mirrored=index % 2 == 1,
                doubles=halves,
                make=make,
            )
            for index, halves in enumerate(reversed(halving))
        ]
        self.down = nnx.List(down)
        sides = [
            image_size >> (1 + scale)
            for scale in reversed(range(num_scales))
            for _ in range(blocks)
        ]
        self.latent_shapes = tuple((side, side, zdim) for side in sides)
        self.top = nnx.Param(jnp.zeros((width,), jnp.float32))
        self.last = make(UpsamplingConv, width, self.head.num_channels, init_scale=0.1)

    def __call__(self, batch: Batch, *, key: PRNGKeyArray | None, train: bool) -> Outputs:
        """Every latent from its posterior, and the likelihood given them; `train` changes nothing."""
        del train
        x, latents = self._infer(batch["image"], key)
        return Outputs(self._likelihood(x), latents)

    def encode(
        self, image: Shaped[Array, "b h w c"], *, key: PRNGKeyArray | None = None
    ) -> tuple[Latent, ...]:
        """Latents of uint8 or [-1, 1] images: samples with a key, else the Gaussians' means through the flows."""
        return self._infer(image, key)[1]

    def decode(
        self,
        latents: Sequence[Float[Array, "b _ _ d"]],
        *,
        num: int | None = None,
        key: PRNGKeyArray | None = None,
        temperature: float | Sequence[float] = 1.0,
    ) -> Likelihood:
        """The likelihood given the first latents, top first; the others come from the prior.

        `temperature`, one or one a layer, multiplies the prior's deviations; 0, or no key, gives its means.
        """
        batch, temperatures = decode_arguments(latents, num, temperature, self.num_layers)
        x = self._start(batch)
        for layer, block in enumerate(self.down):
            z = latents[layer] if layer < len(latents) else None
            x = block.generate(x, z, layer_key(key, layer), temperatures[layer])
        return self._likelihood(x)

    def _infer(self, image: Array, key: PRNGKeyArray | None) -> tuple[Array, tuple[Latent, ...]]:
        x, ups = self.first(pixels.to_float(image)), []
        for block in self.up:
            x, up = block(x)
            ups.append(up)
        x, latents = self._start(image.shape[0]), []
        for layer, (block, up) in enumerate(zip(self.down, reversed(ups))):
            x, latent = block.infer(x, up, layer_key(key, layer))
            latents.append(latent)
        return x, tuple(latents)

    def _start(self, batch: int) -> Array:
        side = self.latent_shapes[0][0]
        return jnp.broadcast_to(self.top[...].astype(self.dtype), (batch, side, side, self.width))

    def _likelihood(self, x: Array) -> Likelihood:
        return self.head(self.last(nnx.elu(x)))
