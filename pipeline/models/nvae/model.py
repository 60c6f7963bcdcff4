"""NVAE (Vahdat and Kautz, arXiv 2007.03898): groups of latents over deep residual cells.

A bottom-up encoder leaves a feature map for each group, at several scales. The decoder goes
top-down from a learned one: each group's prior sees the features above it, its posterior adds what
the encoder left, and its sample joins the features. Batch norm's running statistics are variables
of the model besides its parameters.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, PRNGKeyArray, Shaped

from pipeline.core.errors import ConfigError
from pipeline.core.types import Batch, Latent, Likelihood, Outputs
from pipeline.distributions import heads
from pipeline.distributions.continuous import position, values
from pipeline.models.nvae.towers import Decoder, Encoder
from pipeline.nn.init import layer_factory
from pipeline.nn.norm import MOMENTUM, Momentum
from pipeline.priors import hierarchy
from pipeline.priors.hierarchy import LayerInput


class NVAE(nnx.Module):
    """The whole model.

    Args:
      image_size: height and width; with `padding` a multiple of 2 ** (len(blocks) + len(groups) -
        1).
      channels: at the image's resolution; each halving of that doubles them.
      groups: how many groups of latents there are at each scale, top first; each scale has twice
        the resolution.
      latent_dim: channels of a group's latents.
      cells: residual cells before each group, in the encoder and in the decoder.
      blocks: cells between the image and the largest latents, at each resolution, image first.
      num_flows: pairs of autoregressive cells behind each posterior. With them a Latent has
        `log_q`, and its KL is of the one sample that it has.
      likelihood: a name or dict for pipeline.distributions.heads.create.
      padding: black pixels around an image, which its likelihood does not count (2 makes MNIST's
        digits 32x32).
      remat: recomputes each cell and group in the backward pass, instead of keeping its
        activations.
    """

    codec_kind, is_video = "fixed_size", False

    def __init__(
        self,
        *,
        image_size: int,
        channels: int,
        groups: Sequence[int],
        image_channels: int = 3,
        latent_dim: int = 20,
        cells: int = 2,
        blocks: Sequence[int] = (2,),
        num_flows: int = 0,
        likelihood: str | Mapping[str, Any] = "logistic_mixture",
        padding: int = 0,
        remat: bool = False,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        scales, blocks, halvings = tuple(groups), tuple(blocks), len(blocks) + len(groups) - 1
        _check(image_size + 2 * padding, channels, scales, blocks, halvings)
        make = layer_factory(rngs.params(), dtype)
        self.head = heads.create(likelihood, image_channels)
        self.encoder = Encoder(image_channels, channels, scales[::-1], blocks, cells, make=make)
        self.decoder = Decoder(
            (image_size + 2 * padding) >> halvings,
            channels << halvings,
            scales,
            blocks[::-1],
            cells=cells,
            latent_dim=latent_dim,
            num_flows=num_flows,
            outputs=self.head.num_channels,
            make=make,
            dtype=dtype,
        )
        self.image_size, self.image_channels, self.padding = image_size, image_channels, padding
        self.latent_shapes = self.decoder.latent_shapes
        self.num_layers = len(self.latent_shapes)
        self.remat, self.dtype = remat, dtype

    def __call__(self, batch: Batch, *, key: PRNGKeyArray, train: bool) -> Outputs:
        """Return the latents, drawn from their posteriors, and the likelihood given them.

        `train` normalizes by the batch's statistics and updates the running ones.
        """
        params, latents = self._infer(batch["image"], key, MOMENTUM if train else None)
        return Outputs(self._likelihood(params), latents)

    def encode(
        self, image: Shaped[Array, "b h w c"], *, key: PRNGKeyArray | None = None
    ) -> tuple[Latent, ...]:
        """Return latents of images, uint8 or float in [-1, 1].

        They are samples with a key; without one, each group takes the mean of its posterior.
        """
        return self._infer(image, key, None)[1]

    decode = hierarchy.decode

    def generate(
        self, layers: Sequence[LayerInput], batch: int, *, momentum: Momentum = None
    ) -> Likelihood:
        """Return the likelihood given the groups' latents or draws; see
        pipeline.priors.hierarchy.decode.

        With `momentum` it normalizes by the statistics of what it generates, and moves the running
        ones that far: see pipeline.evaluators.batch_statistics.
        """
        return self._likelihood(self.decoder.generate(layers, batch, momentum))

    def _infer(
        self, image: Array, key: PRNGKeyArray | None, momentum: Momentum
    ) -> tuple[Array, tuple[Latent, ...]]:
        x = image.astype(jnp.float32)
        if not jnp.issubdtype(image.dtype, jnp.floating):
            bits = getattr(self.head, "bits", 8)
            x = position(values(image, bits), bits)
            # A likelihood of black and white: the encoder must not see what it need not explain.
            x = jnp.where(x > 0, 1.0, -1.0) if getattr(self.head, "binarize", False) else x
        sides = (self.padding, self.padding)
        x = jnp.pad(x, ((0, 0), sides, sides, (0, 0)), constant_values=-1.0).astype(self.dtype)
        return self.decoder.infer(self.encoder(x, momentum, self.remat), key, momentum, self.remat)

    def _likelihood(self, params: Array) -> Likelihood:
        end = self.padding + self.image_size
        return self.head(params[:, self.padding : end, self.padding : end])


def _check(
    size: int, channels: int, groups: tuple[int, ...], blocks: tuple[int, ...], halvings: int
) -> None:
    if not groups or min(groups) < 1:
        raise ConfigError(f"model.groups={groups} are numbers of groups, 1 or more, a scale")
    if any(length < 1 for length in blocks):
        raise ConfigError(f"model.blocks={blocks} are numbers of cells, 1 or more, a resolution")
    if size % 2**halvings:
        raise ConfigError(
            f"model.image_size with its padding is {size}, but must be a multiple of "
            f"{2**halvings}: blocks and scales halve it {halvings} times"
        )
    if channels < 2:
        raise ConfigError(f"model.channels={channels} must be 2 or more")
