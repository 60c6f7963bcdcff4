"""The decoder of LTX-Video and LTX-2."""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.core.errors import ConfigError
from pipeline.networks.video.ltx.layers import (
    Blocks,
    ChannelRMS,
    Clip,
    Convs,
    ResBlock,
    TimeEmbedding,
    modulated,
)
from pipeline.networks.video.ltx.resample import (
    FACTORS,
    UnpackingUp,
    check_kinds,
    factor,
)
from pipeline.nn import init
from pipeline.nn.cache import CausalCache
from pipeline.nn.conv3d import CausalConv3d, CentredConv3d
from pipeline.nn.norm_act_conv import norm_act_conv
from pipeline.nn.remat import run
from pipeline.nn.space_to_channel import unpatchify

UPS = ("none", *FACTORS)
TIME_SCALE = 1000.0  # by which the published decoders multiply a time in [0, 1]


class Level(nnx.Module):
    """A residual block where the width changes, a doubling to `out` channels, residual blocks."""

    def __init__(
        self,
        width: int,
        out: int,
        num_blocks: int,
        up: str,
        reduction: int,
        residual: bool,
        conv: Convs,
        **settings: Any,
    ):
        inner = out * reduction
        if width != inner and (settings["timed"] or settings["noisy"]):
            raise ConfigError(
                f"a level of video.ltx.Decoder goes from {width} to {inner} channels before its "
                "doubling: such a level takes neither decode_timestep nor noise"
            )
        self.narrow = (
            ResBlock(width, inner, conv, key=settings["rngs"].params()) if width != inner else None
        )
        doubles = up in FACTORS
        self.up = UnpackingUp(inner, out, FACTORS[up], residual, conv) if doubles else None
        self.blocks = Blocks(out, num_blocks, conv, **settings)

    def __call__(
        self,
        x: Clip,
        cache: CausalCache | None = None,
        time: Float[Array, ""] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Clip:
        x = x if self.narrow is None else self.narrow(x, cache)
        x = x if self.up is None else self.up(x, cache)
        return self.blocks(x, cache, time, key)


class Decoder(nnx.Module):
    """Latents [b t h w d] -> clips [b 8t-7 32h 32w c] around [-1, 1].

    The defaults are the sizes of LTX-Video 0.9.0.

    Args:
      channels: the width of the first convolution and the middle, then that after each level.
      num_blocks: residual blocks of the middle, then those of each level.
      ups: how each level doubles: "spatial", "temporal" or "spatiotemporal", a convolution whose
        channels become blocks of pixels; or "none".
      reductions: channels before a level's doubling, over those after it.
      residual: whether each level's doubling adds its unpacked input.
      noise: whether the blocks of the middle, then those of each level, inject noise
        (pipeline.networks.video.ltx.layers.ResBlock); False for none at all.
      noise_seed: seed of the noise of a decoder that is called without a key, as codecs are: the
        same latents give the same frames. The authors draw new noise in each call.
      decode_timestep: the time in [0, 1] on which the blocks are conditioned: the level of the
        noise in the latents. 0 is for latents without noise; the authors suggest 0.05 for latents
        to which a diffusion model's sampler adds noise of 0.025. None is a decoder without
        conditioning. Its parameters do not depend on the value.
      patch: side of the patches of pixels at the output.
      causal: whether no frame depends on a later latent; the published decoders look ahead.
      space_padding: "zeros", "replicate" or "reflect" beyond the edges of a frame.
    """

    is_video, last_layer = True, "conv_out.kernel"

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (512, 512, 512, 256, 128),
        num_blocks: Sequence[int] = (4, 3, 3, 3, 4),
        ups: Sequence[str] = ("none", "spatiotemporal", "spatiotemporal", "spatiotemporal"),
        reductions: Sequence[int] = (1, 1, 1, 1),
        residual: Sequence[bool] = (False, False, False, False),
        noise: Sequence[bool] | bool = False,
        noise_seed: int = 0,
        decode_timestep: float | None = None,
        patch: int = 4,
        causal: bool = False,
        space_padding: str = "zeros",
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        check_kinds(ups, UPS, "ups of video.ltx.Decoder")
        noise = [noise] * len(num_blocks) if isinstance(noise, bool) else noise
        _check_lengths(len(ups), channels, num_blocks, noise, reductions, residual)
        timed = decode_timestep is not None
        kind = CausalConv3d if causal else CentredConv3d

        def conv(width: int, out: int, size: int = 3) -> CausalConv3d:
            settings: Any = dict(space_padding=space_padding, key=rngs.params(), dtype=dtype)
            return kind(width, out, size, **settings)

        same: Any = dict(timed=timed, rngs=rngs, dtype=dtype)
        self.patch, self.causal, self.out_channels = patch, causal, out_channels
        self.spatial_factor: int = patch * factor(ups, 1)
        self.temporal_factor: int = factor(ups, 0)
        self.takes_key = any(noise)
        self.noise_seed, self.decode_timestep = noise_seed, decode_timestep
        self.conv_in = conv(in_channels, channels[0])
        self.middle = Blocks(channels[0], num_blocks[0], conv, noisy=noise[0], **same)
        pairs = zip(
            itertools.pairwise(channels), num_blocks[1:], ups, reductions, residual, noise[1:]
        )
        self.levels = nnx.List(
            [
                Level(i, o, count, up, reduction, adds, conv, noisy=noisy, **same)
                for (i, o), count, up, reduction, adds, noisy in pairs
            ]
        )
        width = channels[-1]
        self.norm_out = ChannelRMS()
        self.conv_out = conv(width, out_channels * patch**2)
        self.time_scale = nnx.Param(jnp.float32(TIME_SCALE)) if timed else None
        self.embedding = TimeEmbedding(2 * width, rngs=rngs, dtype=dtype) if timed else None
        table = init.normal(rngs.params(), (2, width), width**-0.5)
        self.table = nnx.Param(table) if timed else None

    def __call__(
        self,
        z: Clip,
        *,
        cache: CausalCache | None = None,
        remat: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Clip, dict[str, Any]]:
        """Decode latents; `key` is of the injected noise, and without one `noise_seed` is."""
        time = None
        if self.time_scale is not None:
            time = jnp.float32(self.decode_timestep) * self.time_scale[...]
        levels = (self.middle, *self.levels)
        keys: Any = [None] * len(levels)
        if self.takes_key:
            key = jax.random.key(self.noise_seed) if key is None else key
            keys = [jax.random.fold_in(key, index) for index in range(len(levels))]
        x = self.conv_in(z, cache)
        for level, of_level in zip(levels, keys):
            x = run(level, x, cache, time, of_level, remat=remat)
        x = self._ended(x, cache, time).astype(jnp.float32)
        return unpatchify(x, self.patch), {}

    def _ended(self, x: Clip, cache: CausalCache | None, time: Float[Array, ""] | None) -> Clip:
        if self.embedding is None:
            return norm_act_conv(self.norm_out, self.conv_out, x, cache)
        assert time is not None and self.table is not None
        shift, scale = self.embedding(time).reshape(2, -1) + self.table[...]
        return self.conv_out(nnx.silu(modulated(self.norm_out(x), shift, scale)), cache)


def _check_lengths(
    levels: int,
    channels: Sequence[int],
    num_blocks: Sequence[int],
    noise: Sequence[bool],
    reductions: Sequence[int],
    residual: Sequence[bool],
) -> None:
    one_more = dict(channels=channels, num_blocks=num_blocks, noise=noise)
    wanted = dict.fromkeys(one_more, levels + 1) | dict(reductions=levels, residual=levels)
    for name, values in (one_more | dict(reductions=reductions, residual=residual)).items():
        if len(values) != wanted[name]:
            raise ConfigError(
                f"video.ltx.Decoder: ups has {levels} levels, so {name} must have {wanted[name]} "
                f"values, not {len(values)}"
            )
