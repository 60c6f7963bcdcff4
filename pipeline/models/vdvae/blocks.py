"""Blocks of the very deep VAE: residual ones of the encoder, and stochastic ones of the decoder."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.backend.gelu import gelu
from pipeline.core.types import Latent
from pipeline.nn.conv import Conv
from pipeline.nn.resample import average_pool
from pipeline.priors.hierarchy import LayerInput

# (inputs, outputs, kernel size, init_scale=1.0) -> Conv, with a new key and the model's dtype.
MakeConv = Callable[..., Conv]


class Bottleneck(nnx.Module):
    """1x1, 3x3, 3x3, 1x1 convolutions with a GELU before each.

    The 3x3 convolutions are 1x1 at resolutions of 2 or less. The input has already passed its GELU,
    which blocks that read the same feature map share.
    """

    def __init__(
        self,
        inputs: int,
        middle: int,
        outputs: int,
        *,
        resolution: int,
        last_scale: float,
        conv: MakeConv,
    ):
        size = 3 if resolution > 2 else 1
        self.c1 = conv(inputs, middle, 1)
        self.c2 = conv(middle, middle, size)
        self.c3 = conv(middle, middle, size)
        self.c4 = conv(middle, outputs, 1, init_scale=last_scale)

    def __call__(self, *activated: Float[Array, "b h w _"]) -> Float[Array, "b h w d"]:
        return self.c4(gelu(self.c3(gelu(self.c2(gelu(self.c1(*activated)))))))


class BottomUpBlock(nnx.Module):
    """A residual block of the encoder, then pooling.

    Zero channels are appended where the next resolution is wider.
    """

    def __init__(
        self,
        resolution: int,
        width: int,
        next_width: int,
        pool: int,
        *,
        bottleneck: float,
        scale: float,
        conv: MakeConv,
    ):
        self.body = Bottleneck(
            width,
            int(width * bottleneck),
            width,
            resolution=resolution,
            last_scale=scale,
            conv=conv,
        )
        self.pool = pool
        self.extra = next_width - width

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        x = x + self.body(gelu(x))
        if self.pool > 1:
            x = average_pool(x, self.pool)
        return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, self.extra)))


class TopDownBlock(nnx.Module):
    """One stochastic layer: x -> x + features of the prior + z, then a residual block.

    This is figure 3 of the paper.
    """

    def __init__(
        self,
        resolution: int,
        width: int,
        zdim: int,
        *,
        bottleneck: float,
        scale: float,
        residual_posterior: bool,
        conv: MakeConv,
    ):
        middle = int(width * bottleneck)
        # The prior starts at N(0, 1) and the residual stream with the same variance at any depth.
        self.posterior = Bottleneck(
            2 * width, middle, 2 * zdim, resolution=resolution, last_scale=1.0, conv=conv
        )
        self.prior = Bottleneck(
            width, middle, 2 * zdim + width, resolution=resolution, last_scale=0.0, conv=conv
        )
        self.z_proj = conv(zdim, width, 1, init_scale=scale)
        self.resnet = Bottleneck(
            width, middle, width, resolution=resolution, last_scale=scale, conv=conv
        )
        self.zdim, self.residual_posterior = zdim, residual_posterior

    def infer(
        self,
        x: Float[Array, "b h w c"],
        activated: Float[Array, "b h w c"],
        key: PRNGKeyArray | None,
    ) -> tuple[Float[Array, "b h w c"], Latent]:
        """Return the next activation and the latent: a sample, or without a key the mean.

        `activated` is the encoder's activation after a GELU.
        """
        hidden = gelu(x)
        mean, log_sigma = jnp.split(
            self.posterior(hidden, activated).astype(jnp.float32), 2, axis=-1
        )
        prior_mean, prior_log_sigma, x = self._prior(x, hidden)
        if self.residual_posterior:
            mean, log_sigma = prior_mean + mean, prior_log_sigma + log_sigma
        z = mean if key is None else mean + jnp.exp(log_sigma) * jax.random.normal(key, mean.shape)
        scaled_distance = (mean - prior_mean) * jnp.exp(-prior_log_sigma)
        log_ratio = log_sigma - prior_log_sigma
        kl = 0.5 * (jnp.exp(2 * log_ratio) + scaled_distance**2 - 1) - log_ratio
        latent = Latent(z, kl, mean, 2 * log_sigma, prior_mean, 2 * prior_log_sigma)
        return self._merge(x, z), latent

    def generate(self, x: Float[Array, "b h w c"], layer: LayerInput) -> Float[Array, "b h w c"]:
        """Return the next activation, with the latent that is given or drawn from the prior."""
        mean, log_sigma, x = self._prior(x, gelu(x))
        return self._merge(x, layer.latent(mean, 2 * log_sigma))

    def _prior(self, x: Array, hidden: Array) -> tuple[Array, Array, Array]:
        mean, log_sigma, features = jnp.split(
            self.prior(hidden), [self.zdim, 2 * self.zdim], axis=-1
        )
        return mean.astype(jnp.float32), log_sigma.astype(jnp.float32), x + features

    def _merge(self, x: Array, z: Array) -> Array:
        x = x + self.z_proj(z)
        return x + self.resnet(gelu(x))
