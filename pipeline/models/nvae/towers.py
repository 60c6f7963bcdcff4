"""The encoder and the decoder of NVAE, with its groups of latents (arXiv 2007.03898)."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.core.types import Latent
from pipeline.distributions.continuous import gaussian_kl, gaussian_log_prob, gaussian_sample
from pipeline.models.nvae.autoregressive_flow import AutoregressivePair
from pipeline.models.nvae.clamped_normal import clamped_normal, residual_normal
from pipeline.models.nvae.residual_cells import DecoderCell, EncoderCell
from pipeline.nn.init import LayerFactory
from pipeline.nn.norm import Momentum
from pipeline.nn.weight_norm import WeightNormConv
from pipeline.priors import hierarchy
from pipeline.priors.hierarchy import LayerInput

# How much wider the decoder's cells are inside: those among the groups, and those after them.
WIDENING, WIDENING_AFTER = 6, 3


class EncoderScale(nnx.Module):
    """`groups` times `cells` cells at one resolution.

    Below the top scale, a cell that halves the resolution follows.
    """

    def __init__(self, channels: int, groups: int, cells: int, *, down: bool, make: LayerFactory):
        self.groups = nnx.List(
            [
                nnx.List([EncoderCell(channels, channels, make=make) for _ in range(cells)])
                for _ in range(groups)
            ]
        )
        self.down = EncoderCell(channels, 2 * channels, down=True, make=make) if down else None

    def __call__(
        self, x: Float[Array, "b h w c"], momentum: Momentum, remat: bool
    ) -> tuple[Float[Array, "b _ _ _"], list[Float[Array, "b h w c"]]]:
        """Return the output, and the features after each group's cells, bottom first."""
        features = []
        for cells in self.groups:
            for cell in cells:
                x = _run(cell, x, momentum, remat)
            features.append(x)
        return x if self.down is None else _run(self.down, x, momentum, remat), features


class Encoder(nnx.Module):
    """Images -> features for each group. `scales` are the numbers of groups, bottom first."""

    def __init__(
        self,
        inputs: int,
        channels: int,
        scales: Sequence[int],
        blocks: Sequence[int],
        cells: int,
        *,
        make: LayerFactory,
    ):
        self.stem = make(WeightNormConv, inputs, channels, 3)
        before = []
        for length in blocks:
            before += [EncoderCell(channels, channels, make=make) for _ in range(length - 1)]
            before.append(EncoderCell(channels, 2 * channels, down=True, make=make))
            channels *= 2
        self.before = nnx.List(before)
        self.scales = nnx.List(
            [
                EncoderScale(
                    channels << index, groups, cells, down=index < len(scales) - 1, make=make
                )
                for index, groups in enumerate(scales)
            ]
        )

    def __call__(
        self, x: Float[Array, "b h w c"], momentum: Momentum, remat: bool
    ) -> list[Float[Array, "b _ _ _"]]:
        """Return each group's features, top first."""
        x = self.stem(x)
        for cell in self.before:
            x = _run(cell, x, momentum, remat)
        features = []
        for scale in self.scales:
            x, some = scale(x, momentum, remat)
            features += some
        return features[::-1]


class Group(nnx.Module):
    """One stochastic layer: cells, a prior that sees their output, a relative posterior, and z.

    The first group has no cells and a fixed prior, and its posterior sees nothing but the encoder.
    """

    def __init__(
        self,
        channels: int,
        latent_dim: int,
        cells: int,
        num_flows: int,
        *,
        first: bool,
        make: LayerFactory,
    ):
        self.cells = nnx.List(
            [
                DecoderCell(channels, channels, widening=WIDENING, make=make)
                for _ in range(0 if first else cells)
            ]
        )
        self.prior = None if first else make(WeightNormConv, channels, 2 * latent_dim, 1)
        self.combine = make(WeightNormConv, channels, channels, 1)
        self.posterior = make(WeightNormConv, channels, 2 * latent_dim, 3)
        self.flows = nnx.List([AutoregressivePair(latent_dim, make=make) for _ in range(num_flows)])
        self.merge = make(WeightNormConv, channels + latent_dim, channels, 1)
        self.latent_dim = latent_dim

    def infer(
        self,
        x: Float[Array, "b h w c"],
        encoded: Float[Array, "b h w c"],
        key: PRNGKeyArray | None,
        momentum: Momentum,
    ) -> tuple[Float[Array, "b h w c"], Latent]:
        """Return the next features and the latent: a sample, or without a key the posterior's mean.

        With a flow, z is the flow's output, and the KL is estimated at this one z.
        """
        for cell in self.cells:
            x = cell(x, momentum)
        prior = self._prior(x)
        features = (
            self.combine(nnx.elu(encoded)) if self.prior is None else encoded + self.combine(x)
        )
        residual = self.posterior(nnx.elu(features) if self.prior is None else features)
        mean, logvar = residual_normal(prior, residual)
        prior_mean, prior_logvar = clamped_normal(*jnp.split(prior, 2, axis=-1))
        z = mean if key is None else gaussian_sample(key, mean, logvar)
        if not self.flows:
            kl = gaussian_kl(mean, logvar, prior_mean, prior_logvar)
            return self.merge(x, z), Latent(z, kl, mean, logvar, prior_mean, prior_logvar)
        log_q = gaussian_log_prob(z, mean, logvar)
        for flow in self.flows:
            z = flow(z)
        kl = log_q - gaussian_log_prob(z, prior_mean, prior_logvar)
        return self.merge(x, z), Latent(z, kl, mean, logvar, prior_mean, prior_logvar, log_q=log_q)

    def generate(
        self,
        x: Float[Array, "b h w c"],
        layer: LayerInput,
        momentum: Momentum,
    ) -> Float[Array, "b h w c"]:
        """Return the next features, with the z that is given or drawn from the prior."""
        for cell in self.cells:
            x = cell(x, momentum)
        prior = clamped_normal(*jnp.split(self._prior(x), 2, axis=-1))
        return self.merge(x, layer.latent(*prior))

    def _prior(self, x: Array) -> Float[Array, "b h w p"]:
        """Return means and log-deviations before the clamp.

        For the first group they are 0, so that its deviation is 1.01.
        """
        if self.prior is None:
            return jnp.zeros((*x.shape[:-1], 2 * self.latent_dim), jnp.float32)
        return self.prior(nnx.elu(x)).astype(jnp.float32)


class Decoder(nnx.Module):
    """Groups over `scales`, top first, with a doubling of the resolution between scales.

    Cells up to the image's resolution follow.
    """

    def __init__(
        self,
        size: int,
        channels: int,
        scales: Sequence[int],
        blocks: Sequence[int],
        *,
        cells: int,
        latent_dim: int,
        num_flows: int,
        outputs: int,
        make: LayerFactory,
        dtype: Any,
    ):
        self.start = make(_Start, size, channels)
        groups, ups, shapes = [], [], []
        for index, count in enumerate(scales):
            if index:
                ups.append(
                    DecoderCell(channels, channels // 2, widening=WIDENING, up=True, make=make)
                )
                channels, size = channels // 2, 2 * size
            for number in range(count):
                first = index == number == 0
                groups.append(Group(channels, latent_dim, cells, num_flows, first=first, make=make))
                shapes.append((size, size, latent_dim))
        self.groups, self.ups, self.latent_shapes = nnx.List(groups), nnx.List(ups), tuple(shapes)
        after = []
        for length in blocks:
            after.append(
                DecoderCell(channels, channels // 2, widening=WIDENING_AFTER, up=True, make=make)
            )
            channels //= 2
            after += [
                DecoderCell(channels, channels, widening=WIDENING_AFTER, make=make)
                for _ in range(length - 1)
            ]
        self.after = nnx.List(after)
        self.out = make(WeightNormConv, channels, outputs, 3)
        self.dtype = dtype

    def infer(
        self,
        encoded: Sequence[Float[Array, "b _ _ _"]],
        key: PRNGKeyArray | None,
        momentum: Momentum,
        remat: bool,
    ) -> tuple[Float[Array, "b h w p"], tuple[Latent, ...]]:
        """Return the likelihood's parameters and the latents: samples, or means without a key."""

        def step(layer: int, x: Array, key: PRNGKeyArray | None) -> tuple[Array, Latent]:
            x = self._enlarged(x, layer, momentum, remat)
            infer = nnx.remat(Group.infer) if remat else Group.infer
            return infer(self.groups[layer], x, encoded[layer], key, momentum)

        start = self._first(encoded[0].shape[0])
        x, latents = hierarchy.infer(step, start, len(self.groups), key)
        return self._rest(x, momentum, remat), latents

    def generate(
        self,
        layers: Sequence[LayerInput],
        batch: int,
        momentum: Momentum,
    ) -> Float[Array, "b h w p"]:
        """Return the likelihood's parameters, with each group's latent given or drawn."""
        x = self._first(batch)
        for index, (group, layer) in enumerate(zip(self.groups, layers, strict=True)):
            x = self._enlarged(x, index, momentum, False)
            x = group.generate(x, layer, momentum)
        return self._rest(x, momentum, False)

    def _first(self, batch: int) -> Array:
        start = self.start.features[...].astype(self.dtype)
        return jnp.broadcast_to(start, (batch, *start.shape))

    def _enlarged(self, x: Array, index: int, momentum: Momentum, remat: bool) -> Array:
        """Return x at the resolution of group `index`."""
        if self.latent_shapes[index][0] == x.shape[1]:
            return x
        doubled = len({shape[0] for shape in self.latent_shapes[:index]}) - 1
        return _run(self.ups[doubled], x, momentum, remat)

    def _rest(self, x: Array, momentum: Momentum, remat: bool) -> Float[Array, "b h w p"]:
        for cell in self.after:
            x = _run(cell, x, momentum, remat)
        return self.out(nnx.elu(x)).astype(jnp.float32)


class _Start(nnx.Module):
    """The decoder's first features, a parameter that starts uniform in 0 .. 1."""

    def __init__(self, size: int, channels: int, *, key: PRNGKeyArray, dtype: Any):
        del dtype  # as all parameters, float32
        self.features = nnx.Param(jax.random.uniform(key, (size, size, channels), jnp.float32))


def _run(cell: EncoderCell | DecoderCell, x: Array, momentum: Momentum, remat: bool) -> Array:
    if not remat:
        return cell(x, momentum)
    return nnx.remat(lambda cell, x, momentum: cell(x, momentum))(cell, x, momentum)
