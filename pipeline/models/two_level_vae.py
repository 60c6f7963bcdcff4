"""The two-level VAE of VampPrior's paper, HVAE (Tomczak and Welling, arXiv 1705.07120, section 3).

    q(z_2 | x) q(z_1 | x, z_2)  and  p(z_2) p(z_1 | z_2) p(x | z_1, z_2)

The prior of the top level z_2 is any of pipeline.priors; VampPrior is a mixture of q(z_2 | u_k).
Networks are the authors': gated dense layers, and linear layers to the moments. We deviate in the
KL of z_1, which is in closed form and not of one sample, and in biases, which start at 0.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from pipeline import priors
from pipeline.core import pixels
from pipeline.core.types import Batch, Latent, Likelihood, Outputs
from pipeline.distributions import heads
from pipeline.distributions.continuous import gaussian_kl, gaussian_sample
from pipeline.priors import hierarchy
from pipeline.priors.hierarchy import LayerInput, layer_key

HE = nnx.initializers.variance_scaling(2.0, "fan_in", "normal")
# The authors clip log-variances to this range; outside there is no gradient.
LOGVARS = (-6.0, 2.0)

Moments = tuple[Float[Array, "b d"], Float[Array, "b d"]]


class GatedDense(nnx.Module):
    """A linear layer times the sigmoid of another."""

    def __init__(self, inputs: int, units: int, *, rngs: nnx.Rngs, dtype: Any):
        same: Any = dict(kernel_init=HE, dtype=dtype, rngs=rngs)
        self.linear = nnx.Linear(inputs, units, **same)
        self.gate = nnx.Linear(inputs, units, **same)

    def __call__(self, x: Float[Array, "b c"]) -> Float[Array, "b d"]:
        return self.linear(x) * jax.nn.sigmoid(self.gate(x))


class Merge(nnx.Module):
    """A gated layer of each of several inputs, joined, and then one more."""

    def __init__(self, inputs: Sequence[int], units: int, *, rngs: nnx.Rngs, dtype: Any):
        same: Any = dict(rngs=rngs, dtype=dtype)
        self.each = nnx.List([GatedDense(size, units, **same) for size in inputs])
        self.joint = GatedDense(units * len(inputs), units, **same)

    def __call__(self, *inputs: Float[Array, "b _"]) -> Float[Array, "b d"]:
        parts = [layer(x) for layer, x in zip(self.each, inputs, strict=True)]
        return self.joint(jnp.concatenate(parts, axis=-1))


class GaussianOf(nnx.Module):
    """The mean and the log-variance of a diagonal Gaussian given the output of `body`."""

    def __init__(self, body: nnx.Module, units: int, latents: int, *, rngs: nnx.Rngs, dtype: Any):
        same: Any = dict(kernel_init=HE, dtype=dtype, rngs=rngs)
        self.body = body
        self.mean, self.logvar = (nnx.Linear(units, latents, **same) for _ in range(2))

    def __call__(self, *inputs: Float[Array, "b ..."]) -> Moments:
        h = self.body(*(x.reshape(len(x), -1) for x in inputs))
        mean, logvar = (layer(h).astype(jnp.float32) for layer in (self.mean, self.logvar))
        return mean, jnp.clip(logvar, *LOGVARS)


class TwoLevelVAE(nnx.Module):
    """VAE with two levels of latents, the upper inferred first.

    Args:
      image_size, image_channels: shape of an image.
      latent_dims: sizes of z_2 and z_1, top first.
      hidden: units of every layer.
      likelihood: a name or dict for pipeline.distributions.heads.create.
      prior: a prior of pipeline.priors for z_2; None is N(0, 1).
    """

    codec_kind, is_video = "fixed_size", False

    def __init__(
        self,
        *,
        image_size: int,
        image_channels: int = 1,
        latent_dims: tuple[int, int] = (40, 40),
        hidden: int = 300,
        likelihood: str | Mapping[str, Any] = "bernoulli",
        prior: Mapping[str, Any] | None = None,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.image_size, self.image_channels = image_size, image_channels
        top, low = latent_dims
        self.num_layers, self.latent_shapes = 2, ((top,), (low,))
        self.head = heads.create(likelihood, image_channels)
        values, same = image_size**2 * image_channels, dict(rngs=rngs, dtype=dtype)

        def gaussian(body: nnx.Module, latents: int) -> GaussianOf:
            return GaussianOf(body, hidden, latents, rngs=rngs, dtype=dtype)

        def two_layers(inputs: int) -> nnx.Sequential:
            return nnx.Sequential(
                GatedDense(inputs, hidden, **same), GatedDense(hidden, hidden, **same)
            )

        self.encoder = gaussian(two_layers(values), top)
        self.lower_encoder = gaussian(Merge((values, top), hidden, **same), low)
        self.lower_prior = gaussian(two_layers(top), low)
        self.decoder = Merge((low, top), hidden, **same)
        outputs = image_size**2 * self.head.num_channels
        self.out = nnx.Linear(hidden, outputs, kernel_init=HE, dtype=dtype, rngs=rngs)
        self.prior = priors.create(
            prior,
            shape=(top,),
            encoder=self.encoder,
            image_shape=(image_size, image_size, image_channels),
            input_range=(0.0, 1.0),
            key=rngs.params(),
        )

    def encode(
        self, image: Shaped[Array, "b h w c"], *, key: PRNGKeyArray | None = None
    ) -> tuple[Latent, ...]:
        """Return both levels' latents of images, uint8 or in [-1, 1]: samples with a key, else the
        posteriors' means.
        """
        x = (pixels.to_float(image) + 1) / 2
        moments = self.encoder(x)
        top = _draw(moments, layer_key(key, 0))
        of_low, prior = self.lower_encoder(x, top), self.lower_prior(top)
        low = Latent(
            _draw(of_low, layer_key(key, 1)), gaussian_kl(*of_low, *prior), *of_low, *prior
        )
        return priors.latent(self.prior, top, *moments, key=layer_key(key, 0)), low

    decode = hierarchy.decode

    def generate(self, layers: Sequence[LayerInput], batch: int) -> Likelihood:
        """Return the likelihood given the levels' latents; see pipeline.priors.hierarchy.decode."""
        of_top, of_low = layers
        top = of_top.latent_of(self.prior, batch)
        low = of_low.latent(*self.lower_prior(top))
        shape = (batch, self.image_size, self.image_size, self.head.num_channels)
        return self.head(self.out(self.decoder(low, top)).reshape(shape))

    def __call__(self, batch: Batch, *, key: PRNGKeyArray | None, train: bool) -> Outputs:
        """Return the posteriors and the likelihood of a batch; `train` has no effect."""
        del train
        latents = self.encode(batch["image"], key=key)
        return Outputs(self.decode([latent.z for latent in latents]), latents)


def _draw(moments: Moments, key: PRNGKeyArray | None) -> Float[Array, "b d"]:
    """Return a sample, or without a key the mean."""
    return moments[0] if key is None else gaussian_sample(key, *moments)
