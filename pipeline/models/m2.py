"""Semi-supervised VAE with a class among its latents: the M2 of Kingma et al. (arXiv 1406.5298).

    p(x, y, z) = p(y) p(z) p(x | y, z)         q(y, z | x) = q(y | x) q(z | x, y)

The class y has a uniform prior and is a latent where it is unknown. In training, the bound of every
class is computed, each with noise of its own, so that no class is sampled
(pipeline.losses.classes). Encoder, decoder and classifier are networks of linear layers and
softplus, which take y next to x or z. Unlike the authors' code, weights are drawn by their number
of inputs, and no prior of the weights is part of the objective: weight decay is the recipe's.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from pipeline.core import pixels
from pipeline.core.types import Batch, Latent, Likelihood, Outputs
from pipeline.distributions import heads
from pipeline.distributions.continuous import clip_logvar, gaussian_kl, gaussian_sample
from pipeline.priors import hierarchy
from pipeline.priors.hierarchy import LayerInput, layer_key
from pipeline.quantization import uniform_codes


class MLP(nnx.Module):
    """Linear layers with softplus between them."""

    def __init__(self, sizes: Sequence[int], *, rngs: nnx.Rngs, dtype: Any):
        self.layers = nnx.List(
            [nnx.Linear(i, o, dtype=dtype, rngs=rngs) for i, o in itertools.pairwise(sizes)]
        )

    def __call__(self, *parts: Float[Array, "b _"]) -> Float[Array, "b o"]:
        """Return the output for inputs that come in parts, next to one another.

        The first layer multiplies each part alone, so that M2 computes the product of an image once
        and not for every class.
        """
        first, *rest = self.layers
        bias: Any = first.bias
        h, begin = bias[...].astype(first.dtype), 0
        for part in parts:
            kernel = first.kernel[begin : begin + part.shape[-1]]
            h = h + part.astype(first.dtype) @ kernel.astype(first.dtype)
            begin += part.shape[-1]
        for layer in rest:
            h = layer(jax.nn.softplus(h))
        return h.astype(jnp.float32)


class M2(nnx.Module):
    """The whole model, whose latents are the class, as a one-hot vector, and z.

    Args:
      image_size, image_channels: shape of an image.
      num_classes: number of classes.
      latent_dim: size of z.
      hidden: widths of each network's layers.
      likelihood: a name or dict for pipeline.distributions.heads.create.
      input_range: values to which black and white are mapped for encoder and classifier.

    Attributes:
      infers_labels: evaluation infers the class, and never shows it to the model.
    """

    codec_kind, is_video, infers_labels = "fixed_size", False, True

    def __init__(
        self,
        *,
        image_size: int,
        image_channels: int = 1,
        num_classes: int = 10,
        latent_dim: int = 50,
        hidden: Sequence[int] = (500,),
        likelihood: str | Mapping[str, Any] = "bernoulli",
        input_range: Sequence[float | int] = (0.0, 1.0),
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.image_size, self.image_channels = image_size, image_channels
        self.num_classes, self.num_layers = num_classes, 2
        self.latent_shapes = ((num_classes,), (latent_dim,))
        self.input_range = (float(input_range[0]), float(input_range[1]))
        self.head = heads.create(likelihood, image_channels)
        self.shape = (image_size, image_size, self.head.num_channels)
        inputs, same = image_size**2 * image_channels, dict[str, Any](rngs=rngs, dtype=dtype)
        self.classifier = MLP((inputs, *hidden, num_classes), **same)
        self.encoder = MLP((inputs + num_classes, *hidden, 2 * latent_dim), **same)
        outputs = math.prod(self.shape)
        self.decoder = MLP((latent_dim + num_classes, *reversed(hidden), outputs), **same)

    def classify(self, image: Shaped[Array, "b h w c"]) -> Float[Array, "b k"]:
        """Return log q(y | x) of images, which are uint8 or floats in [-1, 1]."""
        return jax.nn.log_softmax(self.classifier(self._inputs(image)))

    def encode(
        self,
        image: Shaped[Array, "b h w c"],
        *,
        key: PRNGKeyArray | None = None,
        label: Int[Array, " b"] | None = None,
    ) -> tuple[Latent, ...]:
        """Return the class of images and z given the class.

        The class is a sample, or without a key the most probable one; with a label above -1 it is
        the label, which then takes -log p(y) nats.
        """
        log_q = self.classify(image)
        given = jnp.full(len(log_q), -1) if label is None else label
        draw, count = layer_key(key, 0), self.num_classes
        found = log_q.argmax(axis=-1) if draw is None else jax.random.categorical(draw, log_q)
        index = jnp.where(given >= 0, given, found).astype(jnp.int32)
        y, log_p = jax.nn.one_hot(index, count, dtype=jnp.float32), -math.log(count)
        chosen = jnp.where(given >= 0, 0.0, (log_q * y).sum(axis=-1))[:, None]
        negative_entropy = (jnp.exp(log_q) * log_q).sum(axis=-1)
        kl = (jnp.where(given >= 0, 0.0, negative_entropy) - log_p)[:, None]
        class_latent = Latent(
            y,
            kl,
            indices=index,
            num_codes=count,
            log_q=chosen,
            log_p=jnp.full_like(chosen, log_p),
        )
        return class_latent, self._z(self._inputs(image), y, layer_key(key, 1))

    decode = hierarchy.decode

    def generate(
        self, layers: Sequence[LayerInput], batch: int, *, label: Int[Array, " b"] | None = None
    ) -> Likelihood:
        """Return p(x | y, z); a class that is not among the latents is the label, or is drawn."""
        first, second = layers
        count = self.num_classes
        y = first.z
        if y is None:
            mean = jnp.full(count, 1 / count, jnp.float32)
            y = uniform_codes.draw(
                lambda index: jax.nn.one_hot(index, count, dtype=jnp.float32),
                count,
                mean,
                (batch,),
                first.key,
                first.temperature,
            )
            if label is not None:
                y = jnp.where((label >= 0)[:, None], jax.nn.one_hot(label, count), y)
        zeros = jnp.zeros((batch, *self.latent_shapes[1]), jnp.float32)
        return self._likelihood(second.latent(zeros, zeros), y)

    def __call__(self, batch: Batch, *, key: PRNGKeyArray | None, train: bool) -> Outputs:
        """Return latents and likelihood of a batch; in training also what the objective needs.

        In training, known labels of the batch are used, and aux has "class_bounds" [b k], the
        negative bound L(x, y) of every class in nats, and "class_log_q" [b k], log q(y | x).
        """
        if not train:
            latents = self.encode(batch["image"], key=key)
            return Outputs(self.decode([latent.z for latent in latents]), latents)
        latents = self.encode(batch["image"], key=key, label=batch.get("label"))
        aux = {
            "class_bounds": self._class_bounds(batch["image"], key),
            "class_log_q": self.classify(batch["image"]),
        }
        return Outputs(self.decode([latent.z for latent in latents]), latents, aux)

    def _class_bounds(
        self, image: Shaped[Array, "b h w c"], key: PRNGKeyArray | None
    ) -> Float[Array, "b k"]:
        x = self._inputs(image)

        def bound(index: Int[Array, ""]) -> Float[Array, " b"]:
            one_hot = jax.nn.one_hot(index, self.num_classes, dtype=jnp.float32)
            y = jnp.broadcast_to(one_hot, (len(x), self.num_classes))
            # 0 and 1 are the layers' keys.
            own = None if key is None else jax.random.fold_in(key, 2 + index)
            latent = self._z(x, y, own)
            nats = latent.kl.sum(axis=-1) - self._likelihood(latent.z, y).log_prob(image)
            return nats + math.log(self.num_classes)

        return jax.vmap(bound, out_axes=1)(jnp.arange(self.num_classes))

    def _inputs(self, image: Shaped[Array, "b h w c"]) -> Float[Array, "b i"]:
        low, high = self.input_range
        x = (pixels.to_float(image) + 1) * ((high - low) / 2) + low
        return x.reshape(len(x), -1)

    def _z(
        self, x: Float[Array, "b i"], y: Float[Array, "b k"], key: PRNGKeyArray | None
    ) -> Latent:
        mean, logvar = jnp.split(self.encoder(x, y), 2, axis=-1)
        logvar, zeros = clip_logvar(logvar), jnp.zeros_like(mean)
        z = mean if key is None else gaussian_sample(key, mean, logvar)
        return Latent(z, gaussian_kl(mean, logvar), mean, logvar, zeros, zeros)

    def _likelihood(self, z: Float[Array, "b d"], y: Float[Array, "b k"]) -> Likelihood:
        return self.head(self.decoder(z, y).reshape(-1, *self.shape))
