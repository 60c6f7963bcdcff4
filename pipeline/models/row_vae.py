"""VAE with one latent for each row of an image and an autoregressive decoder of rows, the networks
of delta-VAE (arXiv 1901.03416, section 2.3 and 2.4) at a small size.

The decoder of row t sees the rows before it and the latents up to t, and the posterior of latent t
sees row t and those after it: the anti-causal structure of the paper, with which a latent adds what
the rows before it cannot tell. The pixels of a row are independent given both. Such a decoder can
ignore its latents, and under the prior N(0, 1) does; `prior=dict(name="ar1.AR1")` forbids it.

We deviate: the paper's networks are large, with attention, for the pixels of CIFAR-10 and ImageNet
in raster order; after training, it fits another autoregressive prior to the posterior's latents,
from which it samples.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from pipeline import priors
from pipeline.core import pixels
from pipeline.core.types import Batch, Latent, Likelihood, Outputs
from pipeline.distributions import heads
from pipeline.distributions.continuous import clip_logvar, gaussian_sample
from pipeline.priors import hierarchy
from pipeline.priors.hierarchy import LayerInput, layer_key

# Layers that output parameters of distributions are initialized near zero, as in models/vae.py.
NEAR_ZERO = nnx.initializers.variance_scaling(0.01, "fan_in", "uniform")


class CausalRows(nnx.Module):
    """Rows [b n i] -> [b n o], of which row t depends on the rows up to t.

    Layer l of `depth` adds relu of a linear map of a row and of those 2^l and 2 * 2^l before it:
    the layers see 2^(depth + 1) - 1 rows.
    """

    def __init__(
        self, inputs: int, hidden: int, outputs: int, depth: int, *, rngs: nnx.Rngs, dtype: Any
    ):
        same: Any = dict(dtype=dtype, rngs=rngs)
        self.first = nnx.Linear(inputs, hidden, **same)
        self.layers = nnx.List([nnx.Linear(3 * hidden, hidden, **same) for _ in range(depth)])
        self.last = nnx.Linear(hidden, outputs, kernel_init=NEAR_ZERO, **same)

    def __call__(self, x: Float[Array, "b n i"]) -> Float[Array, "b n o"]:
        h = self.first(x)
        for level, layer in enumerate(self.layers):
            near, far = _shifted(h, 2**level), _shifted(h, 2 ** (level + 1))
            h = h + nnx.relu(layer(jnp.concatenate([h, near, far], axis=-1)))
        return self.last(nnx.relu(h)).astype(jnp.float32)


class RowEncoder(nnx.Module):
    """Images -> mean and log-variance [b n d]; latent t sees the rows from t on."""

    def __init__(self, sizes: tuple[int, int, int], depth: int, *, rngs: nnx.Rngs, dtype: Any):
        values, hidden, latent_channels = sizes
        self.body = CausalRows(values, hidden, 2 * latent_channels, depth, rngs=rngs, dtype=dtype)

    def __call__(
        self, x: Float[Array, "b n w c"]
    ) -> tuple[Float[Array, "b n d"], Float[Array, "b n d"]]:
        rows = jnp.flip(x.reshape(*x.shape[:2], -1), axis=1)
        mean, logvar = jnp.split(jnp.flip(self.body(rows), axis=1), 2, axis=-1)
        return mean, clip_logvar(logvar)


class RowDecoder(nnx.Module):
    """Images and latents -> the likelihood of each row given the rows before it and z_1..t."""

    def __init__(
        self,
        sizes: tuple[int, int, int],
        depth: int,
        head: Any,
        width: int,
        *,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        values, hidden, latent_channels = sizes
        self.head, self.width = head, width
        outputs = width * head.num_channels
        self.body = CausalRows(
            values + latent_channels, hidden, outputs, depth, rngs=rngs, dtype=dtype
        )

    def __call__(self, x: Float[Array, "b n w c"], z: Float[Array, "b n d"]) -> Likelihood:
        before = _shifted(x.reshape(*x.shape[:2], -1), 1)
        features = self.body(jnp.concatenate([before, z], axis=-1))
        return self.head(features.reshape(*x.shape[:2], self.width, self.head.num_channels))


@flax.struct.dataclass
class RowByRow:
    """The likelihood of images whose rows depend on the rows before them.

    Attributes:
      z: the latents.
      weights: of the decoder, a RowDecoder.
      image_channels: channels of an image.
      graphdef: the decoder without its weights.
    """

    z: Float[Array, "b n d"]
    weights: Any
    image_channels: int = flax.struct.field(pytree_node=False)
    graphdef: Any = flax.struct.field(pytree_node=False)

    def log_prob(self, image: Shaped[Array, "b n w c"]) -> Float[Array, " b"]:
        return self._given(pixels.to_float(image)).log_prob(image)

    def sample(self, key: PRNGKeyArray) -> Float[Array, "b n w c"]:
        """Draw images row by row."""
        return self._row_by_row(lambda likelihood: likelihood.sample(key))

    def mean(self) -> Float[Array, "b n w c"]:
        """Return each row's mean, given the rounded means of the rows before it.

        The mean over all images has no closed form.
        """

        def rounded(likelihood: Likelihood) -> Array:
            return likelihood.target(pixels.to_uint8(likelihood.mean()))

        return self._given(self._row_by_row(rounded)).mean()

    def target(self, image: Shaped[Array, "b n w c"]) -> Float[Array, "b n w c"]:
        return self._given(pixels.to_float(image)).target(image)

    def _given(self, x: Float[Array, "b n w c"]) -> Likelihood:
        return nnx.merge(self.graphdef, self.weights)(x, self.z)

    def _row_by_row(self, draw: Any) -> Float[Array, "b n w c"]:
        # Pass n makes row n right, since all that it depends on are, as in solve_in_order of
        # flows/autoregressive.py; `draw` has the same noise in each pass.
        batch, rows, _ = self.z.shape
        width = nnx.merge(self.graphdef, self.weights).width
        start = jnp.zeros((batch, rows, width, self.image_channels), jnp.float32)
        x, _ = jax.lax.scan(lambda x, _: (draw(self._given(x)), None), start, None, length=rows)
        return x


class RowVAE(nnx.Module):
    """VAE whose latents are [rows latent_channels], with the networks above.

    Args:
      image_size, image_channels: shape of an image.
      latent_channels: latents of a row.
      hidden: width of the networks.
      depth: layers of each; 2^(depth + 1) - 1 rows are seen.
      likelihood: a name or dict for pipeline.distributions.heads.create.
      prior: a prior of pipeline.priors over [rows latent_channels]; None is N(0, 1).
    """

    codec_kind, is_video = "fixed_size", False

    def __init__(
        self,
        *,
        image_size: int,
        image_channels: int = 1,
        latent_channels: int = 2,
        hidden: int = 128,
        depth: int = 4,
        likelihood: str | Mapping[str, Any] = "bernoulli",
        prior: Mapping[str, Any] | None = None,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.image_size, self.image_channels = image_size, image_channels
        self.num_layers, self.latent_shapes = 1, ((image_size, latent_channels),)
        sizes = (image_size * image_channels, hidden, latent_channels)
        self.encoder = RowEncoder(sizes, depth, rngs=rngs, dtype=dtype)
        head = heads.create(likelihood, image_channels)
        self.decoder = RowDecoder(sizes, depth, head, image_size, rngs=rngs, dtype=dtype)
        self.prior = priors.create(
            prior,
            shape=self.latent_shapes[0],
            encoder=self.encoder,
            image_shape=(image_size, image_size, image_channels),
            input_range=(-1.0, 1.0),
            key=rngs.params(),
        )

    def encode(
        self, image: Shaped[Array, "b h w c"], *, key: PRNGKeyArray | None = None
    ) -> tuple[Latent, ...]:
        """Return the posterior of images, uint8 or in [-1, 1]; z is a sample, or without a key the
        mean.
        """
        mean, logvar = self.encoder(pixels.to_float(image))
        key = layer_key(key, 0)
        z = mean if key is None else gaussian_sample(key, mean, logvar)
        return (priors.latent(self.prior, z, mean, logvar, key=key),)

    decode = hierarchy.decode

    def generate(self, layers: Sequence[LayerInput], batch: int) -> Likelihood:
        """Return p(x | z) for a given or drawn latent; see pipeline.priors.hierarchy.decode."""
        (layer,) = layers
        graphdef, weights = nnx.split(self.decoder)
        z = layer.latent_of(self.prior, batch)
        return RowByRow(z, weights, self.image_channels, graphdef)

    def __call__(self, batch: Batch, *, key: PRNGKeyArray | None, train: bool) -> Outputs:
        """Return the posterior and the likelihood of a batch; `train` has no effect."""
        del train
        latents = self.encode(batch["image"], key=key)
        return Outputs(self.decode([latent.z for latent in latents]), latents)


def _shifted(x: Float[Array, "b n c"], by: int) -> Float[Array, "b n c"]:
    """Return rows moved down by `by`, with zeros above them."""
    return jnp.pad(x, ((0, 0), (by, 0), (0, 0)))[:, : x.shape[1]]
