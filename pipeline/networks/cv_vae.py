"""CV-VAE (arXiv 2405.20279): a video codec whose latents an image codec's decoder understands.

It is AutoencoderKL (pipeline.models.kl_f8) inflated in time: of each residual block the first convolution becomes 3-D
and the second stays within a frame; two of the three halvings are of time as well. Clips of 1 + 4k frames become 1 + k
frames of latents. The encoder is causal, with copies of the first frame in front of a clip; the decoder looks one frame
ahead and back, and its attention over the pixels of a frame is followed by one over the frames of a pixel.

It starts from an image codec's weights (`strata import --from image-codec`), as which it then codes each frame that
it keeps. Where we deviate, so that this holds and that the encoder is causal: group norms take each frame for itself
(norm_per_frame=False is the authors', whose encoder sees all frames through them), their epsilon is the image codec's
1e-6 and not 1e-5, and attention over time has a skip connection of its own, behind which it starts at zero.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from pipeline.bottlenecks import gaussian
from pipeline.core import pixels
from pipeline.core.errors import ConfigError
from pipeline.core.types import Batch, Latent, Outputs, pixels_of
from pipeline.distributions.continuous import Reconstruction
from pipeline.nn.attention import SpatialAttention, TemporalAttention
from pipeline.nn.cache import CausalCache
from pipeline.nn.conv import Conv, upsampling_convolve
from pipeline.nn.conv3d import CausalConv3d, convolve_3d
from pipeline.nn.norm import GroupNorm, LayerNorm
from pipeline.nn.norm_act_conv import norm_act_conv

Clip = Float[Array, "b _ _ _ _"]


class CentredConv3d(CausalConv3d):
    """A convolution that sees as many frames ahead as back, with copies of the first and last one beyond the ends."""

    def __call__(self, x: Clip, cache: None = None) -> Clip:
        del cache
        x = _with_ends(x.astype(self.dtype), self.kernel.shape[0] // 2)
        return convolve_3d(x, self.kernel[...].astype(self.dtype), self.stride) + self.bias[
            ...
        ].astype(self.dtype)


class Up(CausalConv3d):
    """Height and width doubled by repeating pixels, then a centred convolution; with `in_time` it gives two frames.

    The first of these is dropped, so that 1 + k frames become 1 + 2k.
    """

    def __init__(self, width: int, in_time: bool, **settings: Any):
        super().__init__(width, 2 * width if in_time else width, 3, **settings)
        self.in_time = in_time

    def __call__(self, x: Clip, cache: None = None) -> Clip:
        del cache
        b, t, h, w, c = x.shape
        x = _with_ends(x.astype(self.dtype), 1)
        kernel = self.kernel[...].astype(self.dtype)
        out = sum(upsampling_convolve(x[:, tap : tap + t], kernel[tap]) for tap in range(3))
        out = out + self.bias[...].astype(self.dtype)
        if not self.in_time:
            return out
        frames = out.reshape(b, t, 2 * h, 2 * w, 2, c).transpose(0, 1, 4, 2, 3, 5)
        return frames.reshape(b, 2 * t, 2 * h, 2 * w, c)[:, 1:]


class Layers:
    """How one of the two networks makes its layers; it is no part of them."""

    def __init__(
        self, conv: type[CausalConv3d], groups: int, per_frame: bool, *, rngs: nnx.Rngs, dtype: Any
    ):
        self.kind, self.groups, self.per_frame, self.rngs, self.dtype = (
            conv,
            groups,
            per_frame,
            rngs,
            dtype,
        )

    def norm(self, width: int) -> GroupNorm:
        return GroupNorm(width, groups=self.groups, per_frame=self.per_frame)

    def conv2d(self, width: int, out: int, kernel_size: int) -> Conv:
        return Conv(
            width, out, kernel_size, bias_scale=1.0, key=self.rngs.params(), dtype=self.dtype
        )

    def conv3d(self, width: int, out: int) -> CausalConv3d:
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
    """x + conv(silu(norm(conv3d(silu(norm(x)))))), with a 1x1 convolution of x where the width changes."""

    def __init__(self, width: int, out: int, make: "Layers"):
        self.norm1 = make.norm(width)
        self.conv1 = make.conv3d(width, out)
        self.norm2 = make.norm(out)
        self.conv2 = make.conv2d(out, out, 3)
        self.shortcut = make.conv2d(width, out, 1) if width != out else None

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        h = norm_act_conv(self.norm1, self.conv1, x, cache)
        h = norm_act_conv(self.norm2, self.conv2, h)
        return h + (x if self.shortcut is None else self.shortcut(x))


class Level(nnx.Module):
    """Blocks at one resolution, then a convolution to the next one, where there is one."""

    def __init__(self, width: int, out: int, num_blocks: int, resample: Any, make: Layers):
        widths = [width] + [out] * num_blocks
        self.blocks = nnx.List([ResBlock(i, o, make) for i, o in itertools.pairwise(widths)])
        self.resample = resample

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        for block in self.blocks:
            x = block(x, cache)
        return x if self.resample is None else self.resample(x, cache)


class Middle(nnx.Module):
    """At the latents' resolution: a block, attention within each frame, and `in_time` over the frames, a block."""

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


class Encoder(nnx.Module):
    """A clip in [-1, 1] -> means and log-variances of its latents."""

    def __init__(
        self, channels: Sequence[int], latent_channels: int, num_blocks: int, make: Layers
    ):
        self.conv_in = make.conv3d(3, channels[0])
        pairs = list(enumerate(itertools.pairwise([channels[0], *channels])))
        downs = [make.down(o, level % 2 == 0) for level, (_, o) in pairs[:-1]] + [None]
        self.levels = nnx.List(
            [Level(i, o, num_blocks, down, make) for (_, (i, o)), down in zip(pairs, downs)]
        )
        self.middle = Middle(channels[-1], False, make)
        self.norm_out = make.norm(channels[-1])
        self.conv_out = make.conv3d(channels[-1], 2 * latent_channels)

    def __call__(self, x: Clip, cache: CausalCache | None = None, remat: bool = False) -> Clip:
        x = self.conv_in(x, cache)
        for level in self.levels:
            x = _stage(level, x, cache, remat)
        return norm_act_conv(
            self.norm_out, self.conv_out, _stage(self.middle, x, cache, remat), cache
        )


class Decoder(nnx.Module):
    """Latents -> a clip around [-1, 1]."""

    def __init__(
        self, channels: Sequence[int], latent_channels: int, num_blocks: int, make: Layers
    ):
        self.conv_in = make.conv3d(latent_channels, channels[-1])
        self.middle = Middle(channels[-1], True, make)
        pairs = list(enumerate(itertools.pairwise([channels[-1], *reversed(channels)])))
        ups = [make.up(o, level % 2 == 0) for level, (_, o) in pairs[:-1]] + [None]
        self.levels = nnx.List(
            [Level(i, o, num_blocks + 1, up, make) for (_, (i, o)), up in zip(pairs, ups)]
        )
        self.norm_out = make.norm(channels[0])
        self.conv_out = make.conv3d(channels[0], 3)

    def __call__(self, z: Clip, remat: bool = False) -> Clip:
        x = _stage(self.middle, self.conv_in(z), None, remat)
        for level in self.levels:
            x = _stage(level, x, None, remat)
        return norm_act_conv(self.norm_out, self.conv_out, x).astype(jnp.float32)


class CVVAE(nnx.Module):
    """q(z | clip) and its decoder.

    Args:
      channels: widths from the clip's resolution down, four as in the paper: height and width are halved three times,
        and time at the first and the last of these.
      latent_channels: those of the image codec to be compatible with.
      num_blocks: residual blocks at each resolution of the encoder; the decoder has one more.
      groups: of the group norms.
      norm_per_frame: group norms see one frame; False is the authors', and then no part of the codec is causal.
      remat: recompute each resolution in the backward pass instead of keeping its activations.
      image_size, num_frames: of the clips that are shown in reports; any multiple of 8, and any 1 + 4k, can be coded.

    Attributes:
      spatial_factor, temporal_factor: 8 and 4.
      encoder_causal: whether any chunks give the latents of the whole: with norms of single frames.
      decoder_causal: False, as it looks a frame ahead and its attention sees all frames.
      last_layer: name of the parameter at the output, for adaptive weights of a discriminator.
    """

    spatial_factor, temporal_factor, is_video, decoder_causal = 8, 4, True, False
    image_channels, num_layers = 3, 1
    last_layer = "decoder.conv_out.kernel"

    def __init__(
        self,
        *,
        image_size: int = 256,
        num_frames: int = 17,
        channels: Sequence[int] = (128, 256, 512, 512),
        latent_channels: int = 4,
        num_blocks: int = 2,
        groups: int = 32,
        norm_per_frame: bool = True,
        remat: bool = False,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        if len(channels) != 4:
            raise ConfigError(
                f"model.channels has {len(channels)} widths, and must have 4: a latent is of 8x8 pixels"
            )
        if image_size % 8 or num_frames % 4 != 1:
            raise ConfigError(
                f"model.image_size={image_size} must be a multiple of 8, and model.num_frames={num_frames} be 1 + 4k"
            )
        self.image_size, self.num_frames = image_size, num_frames
        self.latent_channels, self.remat = latent_channels, remat
        self.encoder_causal = norm_per_frame
        self.latent_shapes = (
            (1 + num_frames // 4, image_size // 8, image_size // 8, latent_channels),
        )
        causal = Layers(CausalConv3d, groups, norm_per_frame, rngs=rngs, dtype=dtype)
        centred = Layers(CentredConv3d, groups, norm_per_frame, rngs=rngs, dtype=dtype)
        self.encoder = Encoder(channels, latent_channels, num_blocks, causal)
        self.decoder = Decoder(channels, latent_channels, num_blocks, centred)

    def encode(
        self,
        clip: Shaped[Array, "b t h w c"],
        *,
        key: PRNGKeyArray | None = None,
        cache: CausalCache | None = None,
    ) -> tuple[Latent, ...]:
        """The posterior of uint8 or [-1, 1] clips: z is its mean, or with a key a sample.

        With `past`, which norms of single frames allow, the clip is a part of one: see pipeline.nn.cache.
        """
        return (gaussian.of_moments(self.encoder(pixels.to_float(clip), cache), key),)

    def decode(
        self,
        latents: Sequence[Float[Array, "b t h w d"]],
        *,
        num: int | None = None,
        key: PRNGKeyArray | None = None,
        temperature: float | int | Float[Array, ""] | Sequence[float | int] = 1.0,
    ) -> Reconstruction:
        """The clip of these latents; without latents, of `num` z from N(0, 1) (its mean, where there is no key)."""
        shape = self.latent_shapes[0]
        z = gaussian.given_or_prior(latents, shape, num=num, key=key, temperature=temperature)
        return Reconstruction(self.decoder(z))

    def __call__(self, batch: Batch, *, key: PRNGKeyArray | None, train: bool) -> Outputs:
        """Posterior and reconstruction of a batch of clips."""
        remat = self.remat and train
        latent = gaussian.of_moments(
            self.encoder(pixels.to_float(pixels_of(batch)), remat=remat), key
        )
        return Outputs(Reconstruction(self.decoder(latent.z, remat)), (latent,))


def _with_ends(x: Clip, frames: int) -> Clip:
    before, after = (jnp.repeat(end, frames, axis=1) for end in (x[:, :1], x[:, -1:]))
    return jnp.concatenate([before, x, after], axis=1)


def _stage(stage: Any, x: Clip, cache: CausalCache | None, remat: bool) -> Clip:
    # What a Past collects must not come from within a rematerialised function; training has none.
    return nnx.remat(type(stage).__call__)(stage, x) if remat else stage(x, cache)
