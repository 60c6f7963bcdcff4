"""The U-Net of DDPM (arXiv 2006.11239), for images.

Residual blocks at each resolution, the way down and the way up joined at each, and attention over
all pixels at some. With equal settings it is diffusers' UNet2DModel, layer by layer.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.conditioning.modulation import zeros_linear
from pipeline.core.errors import ConfigError
from pipeline.denoisers.dropout import dropout
from pipeline.denoisers.time_embedding import TimeEmbedding
from pipeline.nn.attention import attend_to_all
from pipeline.nn.conv import Conv, UpsamplingConv
from pipeline.nn.norm import GroupNorm

Map = Float[Array, "b *t h w _"]
EPS = 1e-5


class ResBlock(nnx.Module):
    """x + conv(silu(norm(conv(silu(norm(x))) + linear(silu(embedding))))).

    x has a 1x1 convolution where the width changes.
    """

    def __init__(
        self,
        width: int,
        out: int,
        embedding: int,
        *,
        groups: int,
        dropout: float,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        self.norm1 = GroupNorm(width, groups=groups, eps=EPS)
        self.conv1 = Conv(width, out, 3, key=rngs.params(), dtype=dtype)
        self.time = nnx.Linear(embedding, out, dtype=dtype, rngs=rngs)
        self.norm2 = GroupNorm(out, groups=groups, eps=EPS)
        self.conv2 = Conv(out, out, 3, init_scale=0.0, key=rngs.params(), dtype=dtype)
        self.shortcut = (
            Conv(width, out, 1, key=rngs.params(), dtype=dtype) if width != out else None
        )
        self.dropout = dropout

    def __call__(
        self, x: Map, embedding: Float[Array, "b e"], key: PRNGKeyArray | None = None
    ) -> Map:
        h = self.conv1(nnx.silu(self.norm1(x)))
        shift = self.time(nnx.silu(embedding))
        h = h + shift.reshape(len(x), *[1] * (x.ndim - 2), -1)
        h = dropout(nnx.silu(self.norm2(h)), self.dropout, key)
        return self.conv2(h) + (x if self.shortcut is None else self.shortcut(x))


class PixelAttention(nnx.Module):
    """x + out(attention of each pixel of norm(x) to all pixels of its image), with heads."""

    def __init__(self, width: int, heads: int, *, groups: int, rngs: nnx.Rngs, dtype: Any):
        self.norm = GroupNorm(width, groups=groups, eps=EPS)
        self.qkv = nnx.Linear(width, 3 * width, dtype=dtype, rngs=rngs)
        self.out = zeros_linear(width, width, dtype=dtype)
        self.heads = heads

    def __call__(self, x: Map) -> Map:
        tokens = self.norm(x).reshape(-1, x.shape[-3] * x.shape[-2], x.shape[-1])
        return x + self.out(attend_to_all(self.qkv(tokens), self.heads)).reshape(x.shape)


class Stage(nnx.Module):
    """A residual block, and attention where its resolution has it."""

    def __init__(self, block: nnx.Module, attention: nnx.Module | None):
        self.block, self.attention = block, attention

    def __call__(
        self, x: Map, embedding: Float[Array, "b e"], key: PRNGKeyArray | None = None
    ) -> Map:
        x = self.block(x, embedding, key)
        return x if self.attention is None else self.attention(x)


class UNet(nnx.Module):
    """x_t [b h w c] and t [b] -> a prediction [b h w d].

    Height and width must be multiples of 2^(levels - 1).

    Args:
      channels: widths from the image's resolution down; the resolution is halved between them.
      num_blocks: residual blocks at each resolution on the way down; there is one more on the way
        up.
      attention_levels: resolutions, counted from the image's down, at which all blocks attend.
      head_channels: channels of a head of attention.
      groups: number of groups of each group norm.
      dropout: share of elements that are dropped in each residual block, in training.

    Attributes:
      embedding: the size of a condition.
    """

    # What a stage is made of; the U-Net of clips has its own.
    block: ClassVar[Any] = ResBlock
    attention: ClassVar[Any] = PixelAttention

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 256, 256, 256),
        num_blocks: int = 2,
        attention_levels: Sequence[int] = (1,),
        head_channels: int = 64,
        groups: int = 32,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        _check(channels, attention_levels, head_channels)
        self.embedding = 4 * channels[0]
        self.factor = 2 ** (len(channels) - 1)

        def stage(width: int, out: int, attends: bool) -> nnx.Module:
            block = self.block(
                width,
                out,
                self.embedding,
                groups=groups,
                dropout=dropout,
                rngs=rngs,
                dtype=dtype,
            )
            heads = max(1, out // head_channels)
            attention = None
            if attends:
                attention = self.attention(out, heads, groups=groups, rngs=rngs, dtype=dtype)
            return Stage(block, attention)

        def conv(width: int, out: int, **settings: Any) -> Conv:
            return Conv(width, out, 3, key=rngs.params(), dtype=dtype, **settings)

        self.time = TimeEmbedding(channels[0], self.embedding, rngs=rngs, dtype=dtype)
        self.conv_in = conv(in_channels, channels[0])
        width, skips = channels[0], [channels[0]]
        down, downsamples = [], []
        for level, out in enumerate(channels):
            stages = []
            for _ in range(num_blocks):
                stages.append(stage(width, out, level in attention_levels))
                width = out
                skips.append(width)
            down.append(nnx.List(stages))
            if level < len(channels) - 1:
                downsamples.append(conv(width, width, stride=2, padding=(1, 1)))
                skips.append(width)
        self.down, self.downsamples = nnx.List(down), nnx.List(downsamples)
        self.middle = nnx.List([stage(width, width, True), stage(width, width, False)])
        up, upsamples = [], []
        for level, out in reversed(list(enumerate(channels))):
            stages = []
            for _ in range(num_blocks + 1):
                stages.append(stage(width + skips.pop(), out, level in attention_levels))
                width = out
            up.append(nnx.List(stages))
            if level:
                upsamples.append(UpsamplingConv(width, width, key=rngs.params(), dtype=dtype))
        self.up, self.upsamples = nnx.List(up), nnx.List(upsamples)
        self.norm_out = GroupNorm(width, groups=groups, eps=EPS)
        self.conv_out = conv(width, out_channels, init_scale=0.0)

    def __call__(
        self,
        x: Map,
        t: Float[Array, " b"],
        *,
        condition: Float[Array, "b e"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Map:
        if x.shape[-3] % self.factor or x.shape[-2] % self.factor:
            raise ConfigError(
                f"a U-Net of {len(self.down)} levels takes heights and widths that are multiples "
                f"of {self.factor}, not {x.shape[-3]}x{x.shape[-2]}"
            )
        embedding = self.time(t)
        embedding = embedding if condition is None else embedding + condition
        keys = iter(_keys(key, sum(map(len, [*self.down, *self.up, self.middle]))))
        x = self.conv_in(x)
        skips = [x]
        for level, stages in enumerate(self.down):
            for stage in stages:
                x = stage(x, embedding, next(keys))
                skips.append(x)
            if level < len(self.downsamples):
                x = self.downsamples[level](x)
                skips.append(x)
        for stage in self.middle:
            x = stage(x, embedding, next(keys))
        for level, stages in enumerate(self.up):
            for stage in stages:
                x = stage(jnp.concatenate([x, skips.pop()], axis=-1), embedding, next(keys))
            if level < len(self.upsamples):
                x = self.upsamples[level](x)
        return self.conv_out(nnx.silu(self.norm_out(x))).astype(jnp.float32)


def _keys(key: PRNGKeyArray | None, count: int) -> list[PRNGKeyArray | None]:
    return [None] * count if key is None else list(jax.random.split(key, count))


def _check(channels: Sequence[int], attention_levels: Sequence[int], head_channels: int) -> None:
    if not channels or channels[0] % 2:
        raise ConfigError(f"channels={tuple(channels)} of a U-Net must begin with an even number")
    if any(not 0 <= level < len(channels) for level in attention_levels):
        raise ConfigError(
            f"attention_levels={tuple(attention_levels)} of a U-Net must be between 0 and "
            f"{len(channels) - 1}, its last level"
        )
    attending = {channels[-1], *(channels[level] for level in attention_levels)}
    if any(width % max(1, width // head_channels) for width in attending):
        raise ConfigError(
            f"head_channels={head_channels} of a U-Net must divide the widths that attend, "
            f"{sorted(attending)}"
        )
