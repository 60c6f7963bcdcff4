"""The encoder and decoder of CV-VAE (arXiv 2405.20279).

An image codec's decoder understands their latents.

They are pipeline.networks.ldm inflated in time: the first convolution of each residual block
becomes 3-D and the second stays within a frame; two of the three halvings are of time as well.
Clips of 1 + 4k frames become 1 + k frames of latents. The encoder is causal and repeats the first
frame in front of a clip; the decoder looks one frame ahead and back, and its attention over the
pixels of a frame is followed by one over the frames of a pixel.

They start from an image codec's weights (`strata import --from image-codec`), and then code each
frame that they keep as it does. Where we deviate, so that this holds and that the encoder is
causal: group norms see one frame at a time (norm_per_frame=False is the authors', whose encoder
sees all frames through them), their epsilon is the image codec's 1e-6 and not 1e-5, and attention
over time has a skip connection of its own, behind which it starts at zero.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx

from pipeline.core.errors import ConfigError
from pipeline.networks.video.residual import Clip, ResidualDecoder, ResidualEncoder, Stage
from pipeline.nn.attention import SpatialAttention, TemporalAttention
from pipeline.nn.cache import CausalCache
from pipeline.nn.conv import Conv, upsampling_convolve
from pipeline.nn.conv3d import CausalConv3d, CentredConv3d, repeat_ends
from pipeline.nn.norm import GroupNorm, LayerNorm
from pipeline.nn.norm_act_conv import norm_act_conv


class Up(CausalConv3d):
    """Nearest-neighbour doubling of height and width, then a centred convolution.

    With `in_time` it gives two frames for each, and the very first is dropped, so that 1 + k frames
    become 1 + 2k.
    """

    def __init__(self, width: int, in_time: bool, **settings: Any):
        super().__init__(width, 2 * width if in_time else width, 3, **settings)
        self.in_time = in_time

    def __call__(self, x: Clip, cache: None = None) -> Clip:
        del cache
        b, t, h, w, c = x.shape
        x = repeat_ends(x.astype(self.dtype), 1)
        kernel = self.kernel[...].astype(self.dtype)
        out = sum(upsampling_convolve(x[:, tap : tap + t], kernel[tap]) for tap in range(3))
        out = out + self.bias[...].astype(self.dtype)
        if not self.in_time:
            return out
        frames = out.reshape(b, t, 2 * h, 2 * w, 2, c).transpose(0, 1, 4, 2, 3, 5)
        return frames.reshape(b, 2 * t, 2 * h, 2 * w, c)[:, 1:]


class Layers:
    """The factory of one network's layers; it is no module, and no part of the network."""

    def __init__(
        self,
        conv: type[CausalConv3d],
        groups: int,
        per_frame: bool,
        *,
        time_attention: bool,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        self.kind, self.groups, self.per_frame = conv, groups, per_frame
        self.time_attention = time_attention
        self.rngs, self.dtype = rngs, dtype

    def block(self, width: int, out: int) -> "ResBlock":
        return ResBlock(width, out, self)

    def middle(self, width: int) -> "Middle":
        return Middle(width, self.time_attention, self)

    def norm(self, width: int) -> GroupNorm:
        return GroupNorm(width, groups=self.groups, per_frame=self.per_frame)

    def conv2d(self, width: int, out: int, kernel_size: int) -> Conv:
        return Conv(
            width, out, kernel_size, bias_scale=1.0, key=self.rngs.params(), dtype=self.dtype
        )

    def conv(self, width: int, out: int) -> CausalConv3d:
        return self.kind(width, out, 3, key=self.rngs.params(), dtype=self.dtype)

    def down(self, width: int, in_time: bool) -> CausalConv3d:
        stride = (2 if in_time else 1, 2, 2)
        return CausalConv3d(
            width, width, 3, stride=stride, key=self.rngs.params(), dtype=self.dtype
        )

    def up(self, width: int, in_time: bool) -> Up:
        return Up(width, in_time, key=self.rngs.params(), dtype=self.dtype)

    def attention(self, width: int) -> SpatialAttention:
        norm = GroupNorm(width, groups=self.groups)
        return SpatialAttention(width, norm=norm, rngs=self.rngs, dtype=self.dtype)

    def temporal_attention(self, width: int) -> TemporalAttention:
        attention = TemporalAttention(
            width, norm=LayerNorm(width, eps=1e-5), rngs=self.rngs, dtype=self.dtype
        )
        attention.out.kernel[...] = jnp.zeros_like(attention.out.kernel[...])
        return attention


class ResBlock(nnx.Module):
    """x + conv(silu(norm(conv3d(silu(norm(x)))))), with a 1x1 convolution of x where the width
    changes.
    """

    def __init__(self, width: int, out: int, make: Layers):
        self.norm1 = make.norm(width)
        self.conv1 = make.conv(width, out)
        self.norm2 = make.norm(out)
        self.conv2 = make.conv2d(out, out, 3)
        self.shortcut = make.conv2d(width, out, 1) if width != out else None

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        h = norm_act_conv(self.norm1, self.conv1, x, cache)
        h = norm_act_conv(self.norm2, self.conv2, h)
        return h + (x if self.shortcut is None else self.shortcut(x))


class Middle(nnx.Module):
    """A residual block, attention within each frame, with `in_time` also over the frames, and a
    residual block.
    """

    def __init__(self, width: int, in_time: bool, make: Layers):
        self.block1 = ResBlock(width, width, make)
        self.attention = make.attention(width)
        self.temporal_attention = make.temporal_attention(width) if in_time else None
        self.block2 = ResBlock(width, width, make)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        x = self.attention(self.block1(x, cache))
        return self.block2(
            x if self.temporal_attention is None else self.temporal_attention(x), cache
        )


class Encoder(ResidualEncoder):
    """Clips [b t h w c] in [-1, 1] -> features [b 1+t/4 h/8 w/8 d].

    Args:
      channels: four widths, from the clip's resolution down: height and width are halved between
        them, and time at the first and the last of these three halvings.
      num_blocks: residual blocks at each resolution.
      groups: number of groups of each group norm.
      norm_per_frame: whether group norms see one frame at a time, which makes the encoder causal;
        False is the authors'.
    """

    spatial_factor, temporal_factor = 8, 4

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 256, 512, 512),
        num_blocks: int = 2,
        groups: int = 32,
        norm_per_frame: bool = True,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        _check(channels)
        settings: Any = dict(time_attention=False, rngs=rngs, dtype=dtype)
        make = Layers(CausalConv3d, groups, norm_per_frame, **settings)
        self.causal = norm_per_frame
        stages = _stages([channels[0], *channels], num_blocks, make.down)
        super().__init__(make, stages, in_channels, out_channels)


class Decoder(ResidualDecoder):
    """Latents [b t h w d] -> clips [b 4t-3 8h 8w c] around [-1, 1].

    The arguments are the same as the encoder's; the authors' decoder has one block more at each
    resolution. It is never causal: it looks a frame ahead, and its attention sees all frames.
    """

    spatial_factor, temporal_factor, causal = 8, 4, False

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 256, 512, 512),
        num_blocks: int = 3,
        groups: int = 32,
        norm_per_frame: bool = True,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        _check(channels)
        settings: Any = dict(time_attention=True, rngs=rngs, dtype=dtype)
        make = Layers(CentredConv3d, groups, norm_per_frame, **settings)
        stages = _stages([channels[-1], *reversed(channels)], num_blocks, make.up)
        super().__init__(make, stages, in_channels, out_channels)


def _stages(
    widths: Sequence[int], num_blocks: int, resample: Callable[[int, bool], Any]
) -> list[Stage]:
    """Return the stages; the first and the last of the three resamplings are of time as well."""
    pairs = enumerate(itertools.pairwise(widths))
    stages = [
        Stage(i, o, num_blocks, functools.partial(resample, o, level % 2 == 0))
        for level, (i, o) in pairs
    ]
    return [*stages[:-1], stages[-1]._replace(resample=None)]


def _check(channels: Sequence[int]) -> None:
    if len(channels) != 4:
        raise ConfigError(
            f"channels of cv_vae.Encoder and cv_vae.Decoder must have 4 widths, not "
            f"{len(channels)}: a latent stands for 8x8 pixels"
        )
