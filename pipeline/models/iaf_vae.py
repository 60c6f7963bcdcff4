"""ResNet VAE with inverse autoregressive flows (Kingma et al., arXiv 1606.04934, section 5.2 and
figure 3).

An encoder goes bottom-up through residual blocks; the decoder goes top-down through as many. Each
decoder block has one stochastic layer: its posterior's Gaussian adds the contributions of both ways
(bidirectional inference), and a convolutional flow transforms the sample, with a context from both.
The resolution halves at the first block of each scale but the largest.

Where we deviate: only the masked convolutions have weight normalization, and there is no
data-dependent initialization.
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
from pipeline.priors import hierarchy
from pipeline.priors.hierarchy import LayerInput

# Factor of each residual branch, from the authors' code.
RESIDUAL = 0.1


class UpBlock(nnx.Module):
    """A bottom-up residual block, which also gives what the posterior and the flow take from this
    side.
    """

    def __init__(self, width: int, zdim: int, *, halves: bool, make: LayerFactory):
        self.halves, self.sizes = halves, (width, width + 2 * zdim)
        self.split = make(Conv, width, 2 * width + 2 * zdim, 3, stride=2 if halves else 1)
        self.join = make(Conv, width, width, 3)

    def __call__(
        self, x: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, "b h2 w2 c"], tuple[Array, Array]]:
        """Return the next activation, and (means and log-variances, context)."""
        features, moments, context = jnp.split(self.split(nnx.elu(x)), self.sizes, axis=-1)
        x = average_pool(x, 2) if self.halves else x
        return x + RESIDUAL * self.join(nnx.elu(features)), (moments.astype(jnp.float32), context)


class DownBlock(nnx.Module):
    """A top-down stochastic layer: x -> x + features of x and z. The last of a scale doubles the
    resolution.
    """

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
        """Return the next activation and the latent: a sample, or without a key the Gaussian's mean
        through the flow.

        `kl` is log q(z | x) - log p(z) of each element of that z, with log q through the flow
        (paper, eq. 11).
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

    def generate(self, x: Float[Array, "b h w c"], layer: LayerInput) -> Float[Array, "b h2 w2 c"]:
        """Return the next activation, with the latent that is given or drawn from the prior."""
        features, mean, logvar, _, _ = self._split(x)
        return self._merge(x, features, layer.latent(mean, logvar))

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
    """The ResNet VAE with a stochastic layer in each top-down block.

    Args:
      num_scales: number of resolutions with latents; the largest is half of the image's.
      blocks: stochastic layers at each resolution.
      width, zdim: channels of the activations, and of each layer's latents.
      flow_depth: masked convolutions before the flow's last ones; 0 leaves the flow out.
      likelihood: a name or dict for pipeline.distributions.heads.create.
    """

    codec_kind, is_video = "fixed_size", False

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
                f"model.num_scales={num_scales} halvings and model.blocks={blocks} must be 1 or "
                "more, and "
                f"model.image_size={image_size} a multiple of {2 ** max(1, num_scales)}"
            )
        make = layer_factory(rngs.params(), dtype)
        self.image_size, self.image_channels = image_size, image_channels
        self.width, self.dtype = width, dtype
        self.num_layers = num_scales * blocks
        self.head = heads.create(likelihood, image_channels)
        self.first = make(Conv, image_channels, width, 5, stride=2, padding=(2, 2))
        # Bottom-up, from the largest resolution; the decoder's layers are the same ones, last
        # first.
        halving = [
            scale > 0 and block == 0 for scale in range(num_scales) for block in range(blocks)
        ]
        self.up = nnx.List([UpBlock(width, zdim, halves=halves, make=make) for halves in halving])
        settings: Any = dict(flow_depth=flow_depth, make=make)
        down = [
            DownBlock(width, zdim, mirrored=index % 2 == 1, doubles=halves, **settings)
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
        """Return the latents, drawn from their posteriors, and the likelihood given them; `train`
        changes nothing.
        """
        del train
        x, latents = self._infer(batch["image"], key)
        return Outputs(self._likelihood(x), latents)

    def encode(
        self, image: Shaped[Array, "b h w c"], *, key: PRNGKeyArray | None = None
    ) -> tuple[Latent, ...]:
        """Return latents of uint8 or [-1, 1] images: samples with a key, else the Gaussians' means
        through the flows.
        """
        return self._infer(image, key)[1]

    decode = hierarchy.decode

    def generate(self, layers: Sequence[LayerInput], batch: int) -> Likelihood:
        """Return the likelihood given the layers' latents or draws; see
        pipeline.priors.hierarchy.decode.
        """
        x = self._start(batch)
        for block, layer in zip(self.down, layers, strict=True):
            x = block.generate(x, layer)
        return self._likelihood(x)

    def _infer(self, image: Array, key: PRNGKeyArray | None) -> tuple[Array, tuple[Latent, ...]]:
        x, ups = self.first(pixels.to_float(image)), []
        for block in self.up:
            x, up = block(x)
            ups.append(up)
        ups.reverse()
        return hierarchy.infer(
            lambda layer, x, key: self.down[layer].infer(x, ups[layer], key),
            self._start(image.shape[0]),
            self.num_layers,
            key,
        )

    def _start(self, batch: int) -> Array:
        side = self.latent_shapes[0][0]
        return jnp.broadcast_to(self.top[...].astype(self.dtype), (batch, side, side, self.width))

    def _likelihood(self, x: Array) -> Likelihood:
        return self.head(self.last(nnx.elu(x)))
