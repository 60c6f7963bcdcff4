"""Very deep VAE (Child, arXiv 2011.10650): stochastic layers from 1x1 to the image's resolution.

A bottom-up encoder keeps the last activation of each resolution. The decoder goes top-down through
residual blocks; each draws one latent from a posterior that sees the encoder's activation of its
resolution, or from a prior that does not.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from pipeline.backend.gelu import gelu
from pipeline.core.types import Batch, Latent, Likelihood, Outputs
from pipeline.distributions import heads
from pipeline.models.vdvae.block_plan import (
    check_widths,
    parse_decoder,
    parse_encoder,
    parse_widths,
    runs,
)
from pipeline.models.vdvae.blocks import BottomUpBlock, MakeConv, TopDownBlock
from pipeline.nn.conv import Conv
from pipeline.nn.init import layer_factory
from pipeline.nn.resample import nearest_upsample
from pipeline.nn.scan import scanned_by_default, sequence
from pipeline.priors import hierarchy
from pipeline.priors.hierarchy import LayerInput, layer_key


class Encoder(nnx.Module):
    """Normalized images -> the last activation of each resolution."""

    def __init__(
        self,
        blocks: list[tuple[int, int]],
        widths: dict[int, int],
        channels: int,
        bottleneck: float,
        conv: MakeConv,
    ):
        self.in_conv = conv(channels, widths[blocks[0][0]], 3)
        scale = len(blocks) ** -0.5
        # Blocks that are followed by others at their resolution, and each that pools.
        self.runs = runs(blocks, lambda previous, block: previous == block and block[1] == 1)
        self.blocks = nnx.List(
            [
                BottomUpBlock(
                    res,
                    widths[res],
                    widths[res // pool],
                    pool,
                    bottleneck=bottleneck,
                    scale=scale,
                    conv=conv,
                )
                for res, pool in blocks
            ]
        )

    def __call__(
        self, x: Float[Array, "b h w c"], scanned: bool, remat: bool
    ) -> dict[int, Float[Array, "b _ _ _"]]:
        x = self.in_conv(x)
        activations = {x.shape[1]: x}
        for layers in self.runs:
            blocks = [self.blocks[layer] for layer in layers]
            x, _ = sequence(
                _bottom_up, blocks, x, [None] * len(blocks), scanned=scanned, remat=remat
            )
            activations[x.shape[1]] = x
        return activations


class Decoder(nnx.Module):
    """Stochastic layers over one state per resolution.

    A state starts from a learned bias, or from zero above `no_bias_above`.
    """

    def __init__(
        self,
        blocks: list[tuple[int, int | None]],
        widths: dict[int, int],
        zdim: int,
        bottleneck: float,
        residual_posterior: bool,
        no_bias_above: int,
        outputs: int,
        conv: MakeConv,
        dtype: Any,
    ):
        scale = len(blocks) ** -0.5
        self.plan = tuple((res, mixin, widths[res]) for res, mixin in blocks)
        self.runs = runs(
            blocks, lambda previous, block: previous[0] == block[0] and block[1] is None
        )
        self.blocks = nnx.List(
            [
                TopDownBlock(
                    *(res, widths[res], zdim),
                    bottleneck=bottleneck,
                    scale=scale,
                    residual_posterior=residual_posterior,
                    conv=conv,
                )
                for res, _ in blocks
            ]
        )
        biased = [res for res in sorted({res for res, _ in blocks}) if res <= no_bias_above]
        self.biases = nnx.Dict(
            {str(res): nnx.Param(jnp.zeros((1, res, res, widths[res]))) for res in biased}
        )
        out_width = widths[blocks[-1][0]]
        self.gain = nnx.Param(jnp.ones((out_width,)))
        self.bias = nnx.Param(jnp.zeros((out_width,)))
        self.out_conv = conv(out_width, outputs, 1)
        self.dtype = dtype

    def infer(
        self,
        activations: dict[int, Float[Array, "b _ _ _"]],
        key: PRNGKeyArray | None,
        *,
        scanned: bool,
        remat: bool,
    ) -> tuple[Float[Array, "b h w p"], tuple[Latent, ...]]:
        """Return the likelihood's parameters and the latents: samples, or means without a key."""
        activated = {res: gelu(x) for res, x in activations.items()}
        states: dict[int, Array] = {}
        latents: list[Latent] = []
        for run in self.runs:
            res = self.plan[run[0]][0]
            x = self._state(run[0], states, activated[res].shape[0])
            step = functools.partial(_infer, activated[res])
            blocks, keys = [self.blocks[i] for i in run], [layer_key(key, i) for i in run]
            states[res], some = sequence(step, blocks, x, keys, scanned=scanned, remat=remat)
            latents += some
        return self._head(states), tuple(latents)

    def generate(
        self,
        layers: Sequence[LayerInput],
        batch: int,
        *,
        scanned: bool,
    ) -> Float[Array, "b h w p"]:
        """Return the likelihood's parameters, with each layer's latent given or drawn."""
        # A scan stacks its inputs, which must be arrays.
        layers = [
            dataclasses.replace(layer, temperature=jnp.asarray(layer.temperature))
            for layer in layers
        ]
        states: dict[int, Array] = {}
        for run in self.runs:
            blocks, inputs = [self.blocks[i] for i in run], [layers[i] for i in run]
            x = self._state(run[0], states, batch)
            states[self.plan[run[0]][0]], _ = sequence(
                _generate, blocks, x, inputs, scanned=scanned
            )
        return self._head(states)

    def _state(self, layer: int, states: dict[int, Array], batch: int) -> Array:
        """Return the input of block `layer`: its resolution's state, plus the coarser one it mixes
        in.
        """
        res, mixin, width = self.plan[layer]
        if res in states:
            x = states[res]
        else:
            bias = (
                self.biases[str(res)][...]
                if str(res) in self.biases
                else jnp.zeros((1, res, res, width))
            )
            x = jnp.broadcast_to(bias.astype(self.dtype), (batch, res, res, width))
        return (
            x if mixin is None else x + nearest_upsample(states[mixin][..., :width], res // mixin)
        )

    def _head(self, states: dict[int, Array]) -> Float[Array, "b h w p"]:
        x = states[self.plan[-1][0]]
        x = x * self.gain[...].astype(self.dtype) + self.bias[...].astype(self.dtype)
        return self.out_conv(x).astype(jnp.float32)


class VDVAE(nnx.Module):
    """The encoder, the ladder of stochastic layers and the mixture-of-logistics likelihood.

    Blocks are written as in the authors' recipes, with commas: `32x11` is eleven blocks at 32x32;
    in the encoder `32d2` is one block there, then pooling by 2; in the decoder `32m16` is one block
    that mixes in the state of 16x16. `custom_widths` is `resolution:width,...` where that differs
    from `width`.

    The encoder sees (pixel + input_shift) * input_scale with pixels on 0 .. 255. `likelihood` is a
    name or dict for pipeline.distributions.heads.create; the authors' is a mixture of ten logistics
    over RGB. With `residual_posterior` the output of the posterior's network is added to the
    prior's mean and log-deviation (NVAE, 2007.03898, equation 3; without its clamps). `remat`
    recomputes each block in the backward pass instead of storing its activations. `scan_layers`
    compiles equal blocks once (None: on a TPU). Parameters, KL and likelihood are float32;
    everything between is computed in `dtype`.
    """

    codec_kind, is_video = "fixed_size", False

    def __init__(
        self,
        *,
        enc_blocks: str,
        dec_blocks: str,
        width: int,
        image_size: int,
        input_shift: float,
        input_scale: float,
        zdim: int = 16,
        custom_widths: str = "",
        bottleneck_multiple: float = 0.25,
        residual_posterior: bool = False,
        no_bias_above: int = 64,
        image_channels: int = 3,
        likelihood: str | Mapping[str, Any] = "logistic_mixture",
        remat: bool = False,
        scan_layers: bool | None = None,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.head = heads.create(likelihood, image_channels)
        encoder_plan = parse_encoder(enc_blocks, image_size)
        reached = {image_size} | {res // pool for res, pool in encoder_plan}
        decoder_plan = parse_decoder(dec_blocks, image_size, reached)
        widths = parse_widths(custom_widths, width, reached)
        check_widths(encoder_plan, decoder_plan, widths)
        conv = functools.partial(layer_factory(rngs.params(), dtype), Conv)
        self.encoder = Encoder(encoder_plan, widths, image_channels, bottleneck_multiple, conv)
        self.decoder = Decoder(
            *(decoder_plan, widths, zdim, bottleneck_multiple, residual_posterior),
            *(no_bias_above, self.head.num_channels, conv, dtype),
        )
        self.image_size, self.image_channels = image_size, image_channels
        self.num_layers = len(decoder_plan)
        self.latent_shapes = tuple((res, res, zdim) for res, _ in decoder_plan)
        self.input_shift, self.input_scale = input_shift, input_scale
        self.remat = remat
        self.scan_layers = scan_layers
        self.dtype = dtype

    def __call__(self, batch: Batch, *, key: PRNGKeyArray, train: bool) -> Outputs:
        """Return the latents, drawn from their posteriors, and the likelihood given them.

        `train` changes nothing.
        """
        params, latents = self._infer(batch["image"], key)
        return Outputs(self.head(params), latents)

    def encode(
        self, image: Shaped[Array, "b h w c"], *, key: PRNGKeyArray | None = None
    ) -> tuple[Latent, ...]:
        """Return latents of images, uint8 or float in [-1, 1].

        They are samples with a key, and without one the means of the posteriors.
        """
        return self._infer(image, key)[1]

    decode = hierarchy.decode

    def generate(self, layers: Sequence[LayerInput], batch: int) -> Likelihood:
        """Return the likelihood given the layers' latents or draws; see
        pipeline.priors.hierarchy.decode.
        """
        return self.head(self.decoder.generate(layers, batch, scanned=self._scanned()))

    def _infer(self, image: Array, key: PRNGKeyArray | None) -> tuple[Array, tuple[Latent, ...]]:
        pixels = (
            (image + 1) * 127.5
            if jnp.issubdtype(image.dtype, jnp.floating)
            else image.astype(jnp.float32)
        )
        x = ((pixels + self.input_shift) * self.input_scale).astype(self.dtype)
        how = {"scanned": self._scanned(), "remat": self.remat}
        return self.decoder.infer(self.encoder(x, **how), key, **how)

    def _scanned(self) -> bool:
        return scanned_by_default() if self.scan_layers is None else self.scan_layers


def _bottom_up(block: BottomUpBlock, x: Array, _: None) -> tuple[Array, None]:
    return block(x), None


def _infer(
    activated: Array, block: TopDownBlock, x: Array, key: PRNGKeyArray | None
) -> tuple[Array, Latent]:
    return block.infer(x, activated, key)


def _generate(block: TopDownBlock, x: Array, layer: LayerInput) -> tuple[Array, None]:
    return block.generate(x, layer), None
