"""VAE of vectors with linear layers and any likelihood of vectors, such as PH-VAE's phase types.

Encoder and decoder are the networks of PH-VAE (arXiv 2603.01800): linear layers, each followed by
layer normalization and ReLU. We deviate: the encoder sees asinh(x) in place of x, which is x near 0
and a logarithm in the tails, where a linear layer would see little else than the largest number.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline import priors
from pipeline.core.types import Batch, Latent, Likelihood, Outputs
from pipeline.distributions import vector_heads
from pipeline.distributions.continuous import clip_logvar, gaussian_sample
from pipeline.priors import hierarchy
from pipeline.priors.hierarchy import LayerInput, layer_key

# Layers that output parameters of distributions are initialized near zero, as in models/vae.py.
NEAR_ZERO = nnx.initializers.variance_scaling(0.01, "fan_in", "uniform")


class Layers(nnx.Module):
    """Linear layers with layer normalization and ReLU, and a last linear layer without."""

    def __init__(self, widths: Sequence[int], outputs: int, *, rngs: nnx.Rngs, dtype: Any):
        glorot = nnx.initializers.glorot_uniform()
        self.linears = nnx.List(
            [
                nnx.Linear(i, o, kernel_init=glorot, dtype=dtype, rngs=rngs)
                for i, o in itertools.pairwise(widths)
            ]
        )
        self.norms = nnx.List([nnx.LayerNorm(width, rngs=rngs) for width in widths[1:]])
        self.last = nnx.Linear(widths[-1], outputs, kernel_init=NEAR_ZERO, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "b i"]) -> Float[Array, "b o"]:
        for linear, norm in zip(self.linears, self.norms):
            x = nnx.relu(norm(linear(x).astype(jnp.float32)))
        return self.last(x).astype(jnp.float32)


class VectorVAE(nnx.Module):
    """VAE of vectors [b d] with a Gaussian posterior.

    Args:
      num_features: number of values of a vector.
      latent_dim: size of z.
      hidden: widths of the encoder's layers; the decoder has them in reverse.
      likelihood: name or dict for pipeline.distributions.vector_heads.create.
      prior: a prior of pipeline.priors; None is N(0, 1).
    """

    codec_kind, is_video, modality = "vector", False, "vector"

    def __init__(
        self,
        *,
        num_features: int,
        latent_dim: int = 10,
        hidden: Sequence[int] = (32, 16),
        likelihood: str | Mapping[str, Any] = "gaussian",
        prior: Mapping[str, Any] | None = None,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.example_shape = (num_features,)
        self.num_layers, self.latent_shapes = 1, ((latent_dim,),)
        self.head = vector_heads.create(likelihood, num_features)
        self.least_value = vector_heads.least(likelihood)
        same: Any = dict(rngs=rngs, dtype=dtype)
        self.encoder = Layers((num_features, *hidden), 2 * latent_dim, **same)
        self.decoder = Layers((latent_dim, *reversed(hidden)), self.head.num_outputs, **same)
        self.prior = priors.create(prior, shape=(latent_dim,), key=rngs.params())

    def encode(
        self, x: Float[Array, "b d"], *, key: PRNGKeyArray | None = None
    ) -> tuple[Latent, ...]:
        """Return the posterior of vectors; z is a sample, or without a key the mean."""
        mean, logvar = jnp.split(self.encoder(jnp.arcsinh(x)), 2, axis=-1)
        logvar, key = clip_logvar(logvar), layer_key(key, 0)
        z = mean if key is None else gaussian_sample(key, mean, logvar)
        return (priors.latent(self.prior, z, mean, logvar, key=key),)

    decode = hierarchy.decode

    def generate(self, layers: Sequence[LayerInput], batch: int) -> Likelihood:
        """Return p(x | z) for a given or drawn latent; see pipeline.priors.hierarchy.decode."""
        (layer,) = layers
        return self.head(self.decoder(layer.latent_of(self.prior, batch)))

    def __call__(self, batch: Batch, *, key: PRNGKeyArray | None, train: bool) -> Outputs:
        """Return the posterior and the likelihood of a batch; `train` has no effect."""
        del train
        latents = self.encode(batch["vector"], key=key)
        return Outputs(self.decode([latent.z for latent in latents]), latents)
