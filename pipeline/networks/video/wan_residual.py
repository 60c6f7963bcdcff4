"""The encoder and decoder of Wan 2.2 (5B), which compress 4 x 16 x 16.

They are Wan 2.1's (video.wan) on patches of 2x2 pixels, and each level adds its input as well:
halved by moving blocks of pixels into channels, of which groups are averaged, and doubled by
repeating channels and moving them into blocks of pixels. Where time is halved, a frame of zeros
comes before a clip, so that the first frame counts half in this sum; the authors' networks are
trained with that.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx

from pipeline.core.errors import ConfigError
from pipeline.networks.video.residual import Clip, ResidualDecoder, ResidualEncoder, Stage
from pipeline.networks.video.wan import Layers, check_levels
from pipeline.nn.cache import CausalCache, starts_clip
from pipeline.nn.space_to_channel import pack, patchify, unpack, unpatchify


def averaged(out: int, factors: tuple[int, int, int], x: Clip, cache: CausalCache | None) -> Clip:
    """Return x with blocks of `factors` pixels as channels, averaged in groups to `out`."""
    if factors[0] > 1 and starts_clip(cache):
        x = jnp.pad(x, ((0, 0), (factors[0] - 1, 0), (0, 0), (0, 0), (0, 0)))
    packed = pack(x, factors)
    return packed.reshape(*packed.shape[:-1], out, -1).mean(axis=-1)


def repeated(out: int, factors: tuple[int, int, int], x: Clip, cache: CausalCache | None) -> Clip:
    """Return x with each channel repeated, and moved into blocks of `factors` pixels."""
    size = factors[0] * factors[1] * factors[2]
    y = unpack(jnp.repeat(x, out * size // x.shape[-1], axis=-1), factors)
    return y[:, factors[0] - 1 :] if starts_clip(cache) else y


class Encoder(ResidualEncoder):
    """Clips [b 1+4k h w c] in [-1, 1] -> features [b 1+k h/16 w/16 d].

    Args:
      channels: widths from the patches' resolution down; height and width are halved between them.
      num_blocks: residual blocks at each resolution.
      in_time: for each halving, from the patches' resolution down, whether it is of time as well.
      patch: side of the patches of pixels that the network sees.
    """

    causal = True

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (160, 320, 640, 640),
        num_blocks: int = 2,
        in_time: Sequence[bool] = (False, True, True),
        patch: int = 2,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        check_levels("video.wan_residual.Encoder", channels, in_time)
        make, self.patch = Layers(rngs=rngs, dtype=dtype), patch
        self.spatial_factor, self.temporal_factor = patch * 2 ** len(in_time), 2 ** sum(in_time)
        pairs = list(itertools.pairwise([channels[0], *channels]))
        stages = []
        for (width, out), halves in zip(pairs, in_time):
            factors = (2 if halves else 1, 2, 2)
            if width * factors[0] * 4 % out:
                raise ConfigError(
                    f"video.wan_residual.Encoder: a level from {width} to {out} channels cannot be "
                    f"averaged, as {out} must divide {width * factors[0] * 4}"
                )
            shortcut = functools.partial(averaged, out, factors)
            stages.append(Stage(width, out, num_blocks, make.down(out, halves), shortcut))
        width, out = pairs[-1]
        # The last level keeps the resolution, and its input is averaged to its width.
        shortcut = functools.partial(averaged, out, (1, 1, 1))
        stages.append(Stage(width, out, num_blocks, None, shortcut))
        super().__init__(make, stages, in_channels * patch**2, out_channels)

    def __call__(
        self, x: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, Any]]:
        return super().__call__(patchify(x, self.patch), cache=cache, remat=remat)


class Decoder(ResidualDecoder):
    """Latents [b t h w d] -> clips [b 4t-3 16h 16w c] around [-1, 1].

    The arguments are the encoder's, in the same order; the authors' decoder has one block more at
    each resolution, and other widths.
    """

    causal = True

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (256, 512, 1024, 1024),
        num_blocks: int = 3,
        in_time: Sequence[bool] = (False, True, True),
        patch: int = 2,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        check_levels("video.wan_residual.Decoder", channels, in_time)
        make, self.patch = Layers(rngs=rngs, dtype=dtype), patch
        self.spatial_factor, self.temporal_factor = patch * 2 ** len(in_time), 2 ** sum(in_time)
        pairs = list(itertools.pairwise([channels[-1], *reversed(channels)]))
        stages = []
        for (width, out), doubles in zip(pairs, reversed(in_time)):
            factors = (2 if doubles else 1, 2, 2)
            if out * factors[0] * 4 % width:
                raise ConfigError(
                    f"video.wan_residual.Decoder: a level from {width} to {out} channels cannot "
                    f"repeat them, as {width} must divide {out * factors[0] * 4}"
                )
            shortcut = functools.partial(repeated, out, factors)
            stages.append(Stage(width, out, num_blocks, make.up(out, out, doubles), shortcut))
        stages.append(Stage(*pairs[-1], num_blocks))
        super().__init__(make, stages, in_channels, out_channels * patch**2)
        self.out_channels = out_channels

    def __call__(
        self, z: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, Any]]:
        y, aux = super().__call__(z, cache=cache, remat=remat)
        return unpatchify(y, self.patch), aux
