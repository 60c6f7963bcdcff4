"""Ladder VAE (Sønderby et al., arXiv 1602.02282) and the hierarchical VAE that it is compared with,
on vectors.

Both have the same arrays: layers of Gaussian latents z_1 (next to the image) to z_L, a generative
network that gives p(z_i | z_(i+1)) and p(x | z_1), and an encoder of as many stages. They differ in
inference alone:

- HierarchicalVAE goes bottom-up: q(z_1 | x), then q(z_(i+1) | z_i) of the sample below (section
2.1).
- LadderVAE first goes up without chance, then top-down: each posterior is the product of the
  stage's Gaussian and the prior given the sample above, so that inference corrects the generative
  network by what the image says (section 2.2).

The warm-up of the KL's weight, which the paper needs in addition to batch norm, is the recipe's
`objective.rate.weight`. We deviate: the ladder's stages see the means of the stage below, as with
the authors' code and published commands, and not its hidden units as in the paper's text; the
top-down network is shared with the generative one, as in that text, where these commands have two;
variances are exponentials, not softplus.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from pipeline.core import pixels
from pipeline.core.errors import ConfigError
from pipeline.core.types import Batch, Latent, Likelihood, Outputs
from pipeline.distributions import heads
from pipeline.distributions.continuous import gaussian_kl, gaussian_sample
from pipeline.models.ladder_vae.gaussian_mlp import MLP, GaussianMLP
from pipeline.nn.norm import MOMENTUM, Momentum
from pipeline.priors import hierarchy
from pipeline.priors.hierarchy import LayerInput, layer_key

# Mean and log-variance of a diagonal Gaussian.
Moments = tuple[Float[Array, "b d"], Float[Array, "b d"]]


def product_of_gaussians(one: Moments, other: Moments) -> Moments:
    """Return mean and log-variance of the Gaussian proportional to the product of two (section
    2.2).

    1 / variance is the sum of theirs, and the mean is theirs weighted by 1 / variance; computed in
    logarithms, so that neither a vague nor a sharp one overflows.
    """
    (mean, logvar), (other_mean, other_logvar) = one, other
    weight = jax.nn.sigmoid(other_logvar - logvar)
    return other_mean + weight * (mean - other_mean), -jnp.logaddexp(-logvar, -other_logvar)


class Generator(nnx.Module):
    """p(z_L) = N(0, 1), p(z_i | z_(i+1)) and the features of p(x | z_1).

    Layers are counted from the top, 0.
    """

    def __init__(
        self,
        latents: Sequence[int],
        widths: Sequence[int],
        outputs: int,
        *,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        below = list(zip(latents[:-1], latents[1:], widths[1:]))
        self.priors = nnx.List(
            [
                GaussianMLP(inputs, width, d, rngs=rngs, dtype=dtype)
                for d, inputs, width in reversed(below)
            ]
        )
        self.top = latents[-1]
        self.body = MLP(latents[0], widths[0], rngs=rngs, dtype=dtype)
        self.out = nnx.Linear(widths[0], outputs, dtype=dtype, rngs=rngs)

    def prior(
        self, layer: int, above: Float[Array, "b _"] | None, batch: int, momentum: Momentum
    ) -> Moments:
        """Return the prior of a layer given the latents above it; the top has none."""
        if above is None:
            zeros = jnp.zeros((batch, self.top), jnp.float32)
            return zeros, zeros
        return self.priors[layer - 1](above, momentum)

    def features(self, z: Float[Array, "b d"], momentum: Momentum) -> Float[Array, "b p"]:
        return self.out(self.body(z, momentum))


class HierarchicalVAE(nnx.Module):
    """The VAE with several layers of latents, inferred bottom-up.

    Args:
      latent_dims: latents of each layer, from the image up.
      widths: hidden units of the networks between each layer and the one below it, or the image;
        both ways.
      likelihood: a name or dict for pipeline.distributions.heads.create.
    """

    codec_kind, is_video = "fixed_size", False

    def __init__(
        self,
        *,
        image_size: int,
        image_channels: int = 1,
        latent_dims: Sequence[int] = (64, 32, 16, 8, 4),
        widths: Sequence[int] = (512, 256, 128, 64, 32),
        likelihood: str | Mapping[str, Any] = "bernoulli",
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        if not latent_dims or len(latent_dims) != len(widths):
            raise ConfigError(
                f"model.latent_dims has {len(latent_dims)} layers and model.widths {len(widths)}: "
                "they need the same number, 1 or more"
            )
        self.image_size, self.image_channels = image_size, image_channels
        self.num_layers = len(latent_dims)
        self.latent_shapes = tuple((d,) for d in reversed(latent_dims))
        self.head = heads.create(likelihood, image_channels)
        area = image_size * image_size
        stages = zip((area * image_channels, *latent_dims), widths, latent_dims)
        self.encoder = nnx.List([GaussianMLP(*sizes, rngs=rngs, dtype=dtype) for sizes in stages])
        outputs = area * self.head.num_channels
        self.generator = Generator(
            tuple(latent_dims), tuple(widths), outputs, rngs=rngs, dtype=dtype
        )

    def __call__(self, batch: Batch, *, key: PRNGKeyArray | None, train: bool) -> Outputs:
        """Return the latents, drawn from their posteriors, and the likelihood given them.

        `train` normalizes by the batch's statistics and updates the running ones.
        """
        momentum = MOMENTUM if train else None
        latents = self._infer(_flat(batch["image"]), key, momentum)
        return Outputs(self._likelihood(latents[-1].z, momentum), latents)

    def encode(
        self, image: Shaped[Array, "b h w c"], *, key: PRNGKeyArray | None = None
    ) -> tuple[Latent, ...]:
        """Return latents of uint8 or [-1, 1] images: samples with a key, else the posteriors'
        means.
        """
        return self._infer(_flat(image), key, None)

    decode = hierarchy.decode

    def generate(self, layers: Sequence[LayerInput], batch: int) -> Likelihood:
        """Return the likelihood given the layers' latents; see pipeline.priors.hierarchy.decode.

        It depends only on the last latent where all are given.
        """
        z = None
        for index, layer in enumerate(layers):
            z = layer.latent(*self.generator.prior(index, z, batch, None))
        return self._likelihood(z, None)

    def _infer(
        self, x: Float[Array, "b c"], key: PRNGKeyArray | None, momentum: Momentum
    ) -> tuple[Latent, ...]:
        inferred, z = [], x
        for layer, stage in zip(reversed(range(self.num_layers)), self.encoder):
            moments = stage(z, momentum)
            z = _draw(moments, layer_key(key, layer))
            inferred.append((z, moments))
        latents, above = [], None
        for layer, (z, moments) in enumerate(reversed(inferred)):
            prior = self.generator.prior(layer, above, x.shape[0], momentum)
            latents.append(_latent(z, moments, prior))
            above = z
        return tuple(latents)

    def _likelihood(self, z: Any, momentum: Momentum) -> Likelihood:
        features = self.generator.features(z, momentum)
        return self.head(
            features.reshape(-1, self.image_size, self.image_size, self.head.num_channels)
        )


class LadderVAE(HierarchicalVAE):
    """The same arrays; posteriors are products of the estimates from below and from above."""

    def _infer(
        self, x: Float[Array, "b c"], key: PRNGKeyArray | None, momentum: Momentum
    ) -> tuple[Latent, ...]:
        estimates, mean = [], x
        for stage in self.encoder:
            mean, logvar = stage(mean, momentum)
            estimates.append((mean, logvar))
        estimates.reverse()

        def step(layer: int, above: Any, key: PRNGKeyArray | None) -> tuple[Any, Latent]:
            prior = self.generator.prior(layer, above, x.shape[0], momentum)
            # Nothing is above the top layer: its prior is no estimate, and the paper leaves it out.
            estimate = estimates[layer]
            moments = product_of_gaussians(estimate, prior) if layer else estimate
            z = _draw(moments, key)
            return z, _latent(z, moments, prior)

        return hierarchy.infer(step, None, self.num_layers, key)[1]


def _flat(image: Shaped[Array, "b h w c"]) -> Float[Array, "b n"]:
    return pixels.to_float(image).reshape(image.shape[0], -1)


def _draw(moments: Moments, key: PRNGKeyArray | None) -> Float[Array, "b d"]:
    """Return a sample, or without a key the mean."""
    return moments[0] if key is None else gaussian_sample(key, *moments)


def _latent(z: Float[Array, "b d"], moments: Moments, prior: Moments) -> Latent:
    return Latent(z, gaussian_kl(*moments, *prior), *moments, *prior)
