"""The encoder and decoder of the Cosmos tokenizers of video (arXiv 2501.03575), causal codecs.

The network sees Haar bands of 4x4x4 pixels, whose first frame counts four times, and then halves
height, width and time as often as its name says: CV8x8x8 once each, so that clips of 1 + 8k frames
become 1 + k, CV4x8x8 height and width alone, and CV8x16x16 those twice and time once. Each
convolution is one within frames followed by one over time. Middle blocks attend within each frame
and then, causally, to the earlier frames of a pixel; group norms have one group and see one frame.

Chunks give what the whole clip gives. The cache holds the keys and values of all earlier latent
frames, so it grows with the clip, by one frame of two times the middle's width a latent.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.networks.video.residual import ResBlock, ResidualDecoder, ResidualEncoder, Stage
from pipeline.nn import resample
from pipeline.nn.attention import SpatialAttention
from pipeline.nn.cache import CausalCache, starts_clip
from pipeline.nn.clips.temporal_attention import CausalTemporalAttention
from pipeline.nn.conv3d import CausalConv3d
from pipeline.nn.norm import GroupNorm
from pipeline.nn.wavelet import haar_3d, inverse_haar_3d

Clip = Float[Array, "b _ _ _ _"]
FRAME, TIME = (1, 3, 3), (3, 1, 1)
# Haar bands are sums of 8 pixels with signs, divided by 8.
ANALYSIS, SYNTHESIS = 1 / 8, 1.0


class FactoredConv(nnx.Module):
    """A convolution within frames, then one over time."""

    def __init__(self, width: int, out: int, *, rngs: nnx.Rngs, dtype: Any):
        self.space = CausalConv3d(width, out, FRAME, key=rngs.params(), dtype=dtype)
        self.time = CausalConv3d(out, out, TIME, key=rngs.params(), dtype=dtype)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        return self.time(self.space(x), cache)


class Attentions(nnx.Module):
    """Attention within each frame, then to the earlier frames of each pixel."""

    def __init__(self, width: int, *, rngs: nnx.Rngs, dtype: Any):
        settings: Any = dict(rngs=rngs, dtype=dtype)
        self.space = SpatialAttention(width, norm=GroupNorm(width, groups=1), **settings)
        self.time = CausalTemporalAttention(width, norm=GroupNorm(width, groups=1), **settings)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        return self.time(self.space(x), cache)


class AttendingBlock(nnx.Module):
    """A residual block, then attention."""

    def __init__(self, block: ResBlock, attentions: Attentions):
        self.block, self.attentions = block, attentions

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        return self.attentions(self.block(x, cache), cache)


class Middle(nnx.Module):
    """A residual block, attention and a residual block."""

    def __init__(self, block1: AttendingBlock, block2: ResBlock):
        self.block1, self.block2 = block1, block2

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        return self.block2(self.block1(x, cache), cache)


class Down(nnx.Module):
    """Halving of height and width, then of time, of those that are asked for: each a convolution
    plus an average; then 1x1x1.
    """

    def __init__(self, width: int, in_space: bool, in_time: bool, *, rngs: nnx.Rngs, dtype: Any):
        def conv(size: tuple[int, int, int], stride: tuple[int, int, int]) -> CausalConv3d:
            return CausalConv3d(width, width, size, stride=stride, key=rngs.params(), dtype=dtype)

        self.space = conv(FRAME, (1, 2, 2)) if in_space else None
        self.time = conv(TIME, (2, 1, 1)) if in_time else None
        self.mix = conv((1, 1, 1), (1, 1, 1))

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        if self.space is not None:
            b, t, h, w, c = x.shape
            average = x.reshape(b, t, h // 2, 2, w // 2, 2, c).mean(axis=(3, 5))
            x = self.space(x) + average
        if self.time is not None:
            # A clip's first frame is averaged with itself.
            pairs = jnp.concatenate([x[:, :1], x], axis=1) if starts_clip(cache) else x
            average = pairs.reshape(len(x), -1, 2, *x.shape[2:]).mean(axis=2)
            x = self.time(x, cache) + average
        return self.mix(x)


class Up(nnx.Module):
    """Doubling of time, then of height and width, of those that are asked for, by repetition: each
    plus a convolution of it; then 1x1x1.
    """

    def __init__(self, width: int, in_space: bool, in_time: bool, *, rngs: nnx.Rngs, dtype: Any):
        def conv(size: tuple[int, int, int]) -> CausalConv3d:
            return CausalConv3d(width, width, size, key=rngs.params(), dtype=dtype)

        self.time = conv(TIME) if in_time else None
        self.space = conv(FRAME) if in_space else None
        self.mix = conv((1, 1, 1))

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        if self.time is not None:
            x = resample.double_frames(x, first=starts_clip(cache))
            x = x + self.time(x, cache)
        if self.space is not None:
            x = resample.nearest_upsample(x, 2)
            x = x + self.space(x)
        return self.mix(x)


class Layers:
    """The factory of one network's layers."""

    def __init__(self, *, rngs: nnx.Rngs, dtype: Any):
        self.settings: Any = dict(rngs=rngs, dtype=dtype)

    def norm(self, width: int) -> GroupNorm:
        return GroupNorm(width, groups=1)

    def conv(self, width: int, out: int) -> FactoredConv:
        return FactoredConv(width, out, **self.settings)

    def block(self, width: int, out: int) -> ResBlock:
        def shortcut(width: int, out: int) -> CausalConv3d:
            key = self.settings["rngs"].params()
            return CausalConv3d(width, out, 1, key=key, dtype=self.settings["dtype"])

        return ResBlock(width, out, norm=self.norm, conv=self.conv, shortcut=shortcut)

    def attending(self, width: int, out: int) -> AttendingBlock:
        return AttendingBlock(self.block(width, out), Attentions(out, **self.settings))

    def middle(self, width: int) -> Middle:
        return Middle(self.attending(width, width), self.block(width, width))


class Encoder(ResidualEncoder):
    """Clips [b t h w c] in [-1, 1] of 1 + 8k frames -> features [b 1+k h/8 w/8 d], or as
    `halvings` says.

    Args:
      channels: the width of the first convolution, then that of each level.
      num_blocks: residual blocks of each level.
      attention_levels: indices of the levels whose residual blocks are followed by attention.
      patch: side of the blocks of pixels that become Haar bands, a power of two.
      halvings: how many levels, the first ones, halve time, and how many height and width.
    """

    spatial_factor: int
    temporal_factor: int
    causal = True

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 256, 512, 512),
        num_blocks: int = 2,
        attention_levels: Sequence[int] = (),
        patch: int = 4,
        halvings: Sequence[int] = (1, 1),
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.patch = patch
        self.temporal_factor, self.spatial_factor = (patch << times for times in halvings)
        make = Layers(rngs=rngs, dtype=dtype)
        stages = _stages(
            make,
            channels,
            num_blocks,
            attention_levels,
            halving_levels(halvings),
            Down,
        )
        super().__init__(make, stages, in_channels * patch**3, out_channels)

    def __call__(
        self, x: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, Any]]:
        if starts_clip(cache):
            x = jnp.concatenate([jnp.repeat(x[:, :1], self.patch - 1, axis=1), x], axis=1)
        for _ in range(_halvings(self.patch)):
            x = haar_3d(x, first=False, scale=ANALYSIS)
        return super().__call__(x, cache=cache, remat=remat)


class Decoder(ResidualDecoder):
    """Latents [b t h w d] -> clips [b 8t-7 8h 8w c] around [-1, 1].

    Args:
      channels: the width of the middle, then that of each level.
      num_blocks: residual blocks of each level; the published decoder has one more than the
        encoder.
      attention_levels, patch: as the encoder's.
      halvings: the encoder's. Time is doubled from the second level on, and height and width with
        it; where they are doubled more often, from the first level on.
    """

    spatial_factor: int
    temporal_factor: int
    causal, last_layer = True, "conv_out.time.kernel"

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (512, 512, 512, 256),
        num_blocks: int = 3,
        attention_levels: Sequence[int] = (),
        patch: int = 4,
        halvings: Sequence[int] = (1, 1),
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.patch = patch
        self.temporal_factor, self.spatial_factor = (patch << times for times in halvings)
        make = Layers(rngs=rngs, dtype=dtype)
        stages = _stages(
            make,
            channels,
            num_blocks,
            attention_levels,
            doubling_levels(halvings),
            Up,
        )
        super().__init__(make, stages, in_channels, out_channels * patch**3)
        self.out_channels = out_channels

    def __call__(
        self, z: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, Any]]:
        x, aux = super().__call__(z, cache=cache, remat=remat)
        for _ in range(_halvings(self.patch)):
            x = inverse_haar_3d(x, first=False, scale=SYNTHESIS)
        return x[:, self.patch - 1 :] if starts_clip(cache) else x, aux


def halving_levels(halvings: Sequence[int]) -> tuple[set[int], set[int]]:
    """Return the levels of the encoder that halve time, and those that halve height and width."""
    time, space = halvings
    return set(range(time)), set(range(space))


def doubling_levels(halvings: Sequence[int]) -> tuple[set[int], set[int]]:
    """Return the levels of the decoder that double time, and those that double height and width.

    Raises:
      ConfigError: the authors' rule has no levels for so many.
    """
    time, space = halvings
    if time > space:
        raise ConfigError(
            f"halvings={tuple(halvings)} of video.cosmos: time is not halved more often than "
            "height and width"
        )
    in_time = set(range(1, time + 1))
    return in_time, set(range(space)) if space > time else in_time


def _stages(
    make: Layers,
    channels: Sequence[int],
    num_blocks: int,
    attention_levels: Sequence[int],
    resampling: tuple[set[int], set[int]],
    kind: type[Down] | type[Up],
) -> list[Stage]:
    levels = len(channels) - 1
    in_time, in_space = resampling
    for level in (*in_time, *in_space, *attention_levels):
        if not 0 <= level < levels:
            raise ConfigError(
                f"channels of video.cosmos have {levels} levels, and no level {level}"
            )

    def resample(level: int, width: int) -> Any:
        if level not in in_time | in_space:
            return None
        return lambda: kind(width, level in in_space, level in in_time, **make.settings)

    return [
        Stage(
            width,
            out,
            num_blocks,
            resample=resample(level, out),
            block=make.attending if level in attention_levels else None,
        )
        for level, (width, out) in enumerate(itertools.pairwise(channels))
    ]


def _halvings(patch: int) -> int:
    if patch < 1 or patch & (patch - 1):
        raise ConfigError(f"patch={patch} of video.cosmos must be a power of two")
    return patch.bit_length() - 1
