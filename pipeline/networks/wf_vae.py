"""WF-VAE (arXiv 2411.17459): a causal video codec through which the low wavelet bands flow past the network.

Clips of 1 + 4k frames of height and width that are multiples of 8 become 1 + k frames of latents of an eighth of them.
The encoder sees a clip's Haar bands (W1), and at a quarter and an eighth of the resolution also those of W1's and of
W2's low band; the decoder gives all three, each adding what it has of the low band below (section 3.2).

Where we deviate: wavelets are orthonormal (the authors' 0.3536 is `authors_wavelets`), and frames are doubled in time
without looking ahead (theirs is time_interpolation="linear"), so that chunks of any length give what the whole gives.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from pipeline.backend import cpu_schedule
from pipeline.bottlenecks import gaussian
from pipeline.core import pixels
from pipeline.core.errors import ConfigError
from pipeline.core.types import Batch, Latent, Outputs, pixels_of
from pipeline.distributions.continuous import Reconstruction
from pipeline.nn import resample
from pipeline.nn.attention import SpatialAttention
from pipeline.nn.cache import CausalCache, starts_clip
from pipeline.nn.conv3d import CausalConv3d
from pipeline.nn.norm import LayerNorm
from pipeline.nn.norm_act_conv import norm_act_conv
from pipeline.nn.wavelet import haar_2d, haar_3d, inverse_haar_2d, inverse_haar_3d

EPS = 1e-6
FRAME = (1, 3, 3)  # a kernel within single frames
Clip = Float[Array, "b _ _ _ _"]
# Filters of the authors' 3-D transforms, which are those of an orthonormal one to 4 digits.
AUTHORS_SCALE = 0.3536


class ResBlock(nnx.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), with a 1x1x1 convolution of x where the width changes."""

    def __init__(
        self,
        width: int,
        out: int,
        kernel_size: int | tuple[int, int, int],
        *,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        self.norm1 = LayerNorm(width, eps=EPS)
        self.conv1 = CausalConv3d(width, out, kernel_size, key=rngs.params(), dtype=dtype)
        self.norm2 = LayerNorm(out, eps=EPS)
        self.conv2 = CausalConv3d(out, out, kernel_size, key=rngs.params(), dtype=dtype)
        self.shortcut = (
            CausalConv3d(width, out, 1, key=rngs.params(), dtype=dtype) if width != out else None
        )

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        h = norm_act_conv(self.norm1, self.conv1, x, cache)
        h = norm_act_conv(self.norm2, self.conv2, h, cache)
        return h + (x if self.shortcut is None else self.shortcut(x))


class Down(nnx.Module):
    """A convolution to `out` channels, residual blocks, and a convolution that halves the resolution."""

    def __init__(
        self,
        width: int,
        out: int,
        num_blocks: int,
        kernel_size: Any,
        *,
        in_time: bool,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        self.conv_in = CausalConv3d(width, out, FRAME, key=rngs.params(), dtype=dtype)
        self.blocks = nnx.List(
            [ResBlock(out, out, kernel_size, rngs=rngs, dtype=dtype) for _ in range(num_blocks)]
        )
        size, stride = (3, 2) if in_time else (FRAME, (1, 2, 2))
        self.down = CausalConv3d(out, out, size, stride=stride, key=rngs.params(), dtype=dtype)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        x = self.conv_in(x)
        for block in self.blocks:
            x = block(x, cache)
        return self.down(x, cache)


class Middle(nnx.Module):
    """At the latents' resolution: a block, attention within each frame, a block."""

    def __init__(self, width: int, middle: int, out: int, *, rngs: nnx.Rngs, dtype: Any):
        self.block1 = ResBlock(width, middle, 3, rngs=rngs, dtype=dtype)
        self.attention = SpatialAttention(
            middle, norm=LayerNorm(middle, eps=EPS), rngs=rngs, dtype=dtype
        )
        self.block2 = ResBlock(middle, out, 3, rngs=rngs, dtype=dtype)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        return self.block2(self.attention(self.block1(x, cache)), cache)


class Up(nnx.Module):
    """Blocks of these widths; then the resolution doubled and a convolution, and a last block to `out` channels.

    `time_interpolation` is "" for one that doubles height and width alone, by repeating pixels.
    """

    def __init__(
        self,
        widths: Sequence[int],
        out: int,
        *,
        time_interpolation: str = "",
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        pairs = itertools.pairwise(widths)
        self.blocks = nnx.List([ResBlock(a, b, 3, rngs=rngs, dtype=dtype) for a, b in pairs])
        self.time_interpolation = time_interpolation
        size = 3 if time_interpolation else FRAME
        self.conv = CausalConv3d(widths[-1], widths[-1], size, key=rngs.params(), dtype=dtype)
        self.block_out = ResBlock(widths[-1], out, 3, rngs=rngs, dtype=dtype)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        for block in self.blocks:
            x = block(x, cache)
        first = starts_clip(cache)
        if self.time_interpolation == "":
            x = resample.nearest_upsample(x, 2)
        elif self.time_interpolation == "linear":
            x = resample.bilinear_double(resample.interpolate_frames(x, first=first))
        else:
            # Rows and columns first, of half as many frames.
            x = resample.double_frames(resample.bilinear_double(x), first=first)
        return self.block_out(self.conv(x, cache), cache)


class Connection(nnx.Module):
    """From the flow's channels of the decoder to wavelet bands."""

    def __init__(self, width: int, bands: int, num_blocks: int, *, rngs: nnx.Rngs, dtype: Any):
        self.blocks = nnx.List(
            [ResBlock(width, width, 3, rngs=rngs, dtype=dtype) for _ in range(num_blocks)]
        )
        self.conv = CausalConv3d(width, bands, FRAME, key=rngs.params(), dtype=dtype)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        for block in self.blocks:
            x = block(x, cache)
        return self.conv(x)


class Encoder(nnx.Module):
    """A clip in [-1, 1] -> means and log-variances of its latents, and the bands W2 and W3 (figure 2)."""

    def __init__(
        self,
        width: int,
        flow: int,
        latent_channels: int,
        num_blocks: int,
        scale: float,
        *,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        same: Any = dict(rngs=rngs, dtype=dtype)
        self.scale = scale
        self.down1 = Down(24, width, num_blocks, FRAME, in_time=False, **same)
        self.connect1 = CausalConv3d(12, flow, FRAME, key=rngs.params(), dtype=dtype)
        self.down2 = Down(width + flow, 2 * width, num_blocks, 3, in_time=True, **same)
        self.connect2 = CausalConv3d(24, flow, FRAME, key=rngs.params(), dtype=dtype)
        self.middle = Middle(2 * width + flow, 4 * width, 4 * width, **same)
        self.norm_out = LayerNorm(4 * width, eps=EPS)
        self.conv_out = CausalConv3d(
            4 * width, 2 * latent_channels, 3, key=rngs.params(), dtype=dtype
        )

    def __call__(
        self, x: Clip, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, tuple[Clip, Clip]]:
        first = starts_clip(cache)
        bands1 = haar_3d(x, first=first, scale=self.scale)
        bands2 = haar_2d(bands1[..., :3])
        bands3 = haar_3d(bands2[..., :3], first=first, scale=self.scale)
        h = _stage(self.down1, bands1, cache, remat)
        h = _stage(self.down2, jnp.concatenate([h, self.connect1(bands2)], axis=-1), cache, remat)
        h = _stage(self.middle, jnp.concatenate([h, self.connect2(bands3)], axis=-1), cache, remat)
        return norm_act_conv(self.norm_out, self.conv_out, h, cache), (bands2, bands3)


class Decoder(nnx.Module):
    """Latents -> a clip, and the bands W2 and W3 on the way."""

    def __init__(
        self,
        width: int,
        flow: int,
        latent_channels: int,
        num_blocks: int,
        num_connect: int,
        scale: float,
        time_interpolation: str,
        *,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        same: Any = dict(rngs=rngs, dtype=dtype)
        self.scale, self.flow = scale, flow
        self.conv_in = CausalConv3d(latent_channels, 4 * width, 3, key=rngs.params(), dtype=dtype)
        self.middle = Middle(4 * width, 4 * width, 4 * width + flow, **same)
        self.connect2 = Connection(flow, 24, num_connect, **same)
        wide, half = [4 * width] * (num_blocks + 1), [4 * width] + [2 * width] * num_blocks
        self.up2 = Up(wide, 4 * width + flow, time_interpolation=time_interpolation, **same)
        self.connect1 = Connection(flow, 12, num_connect, **same)
        self.up1 = Up(half, 2 * width, **same)
        self.blocks = nnx.List(
            [ResBlock(2 * width, width, 3, **same), ResBlock(width, width, 3, **same)]
        )
        self.norm_out = LayerNorm(width, eps=EPS)
        self.conv_out = CausalConv3d(width, 24, FRAME, key=rngs.params(), dtype=dtype)

    def __call__(
        self, z: Clip, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, tuple[Clip, Clip]]:
        first = starts_clip(cache)
        h = _stage(self.middle, self.conv_in(z, cache), cache, remat)
        # Bands before the wider maps: the flow's part of h keeps all that h was computed of.
        bands3 = self.connect2(h[..., -self.flow :], cache).astype(jnp.float32)
        h = _stage(self.up2, cpu_schedule.after([bands3], h[..., : -self.flow]), cache, remat)
        bands2 = self.connect1(h[..., -self.flow :], cache).astype(jnp.float32)
        bands2 = _add_low(bands2, inverse_haar_3d(bands3, first=first, scale=self.scale))
        h = _stage(self.up1, cpu_schedule.after([bands2], h[..., : -self.flow]), cache, remat)
        for block in self.blocks:
            h = _stage(block, h, cache, remat)
        bands1 = norm_act_conv(self.norm_out, self.conv_out, h).astype(jnp.float32)
        bands1 = _add_low(bands1, inverse_haar_2d(bands2))
        return inverse_haar_3d(bands1, first=first, scale=self.scale), (bands2, bands3)


class WFVAE(nnx.Module):
    """q(z | clip) and its decoder.

    Args:
      base_channels: 128, 160 or 192 in the paper (S, M, L).
      latent_channels: 4, 8 or 16.
      flow_channels: width of the wavelets' own path, F in the paper.
      num_blocks, num_connect_blocks: residual blocks a stage, and before the decoder's bands.
      time_interpolation: "nearest" repeats frames and sees none ahead; "linear" is that of the authors' weights,
        with which chunks of latents give other frames than the whole.
      authors_wavelets: 0.3536 in place of 1 / sqrt(8), for the authors' weights.
      remat: recompute each stage in the backward pass instead of keeping its activations.
      image_size, num_frames: of the clips that are shown in reports; any multiple of 8, and any 1 + 4k, can be coded.

    Attributes:
      spatial_factor, temporal_factor: 8 and 4.
      encoder_causal, decoder_causal: whether any chunks give the latents, and the frames, of the whole.
      last_layer: name of the parameter at the output, for adaptive weights of a discriminator.
    """

    spatial_factor, temporal_factor, is_video, encoder_causal = 8, 4, True, True
    image_channels, num_layers = 3, 1
    last_layer = "decoder.conv_out.kernel"

    def __init__(
        self,
        *,
        base_channels: int,
        latent_channels: int,
        flow_channels: int = 128,
        num_blocks: int = 2,
        num_connect_blocks: int = 1,
        time_interpolation: str = "nearest",
        authors_wavelets: bool = False,
        remat: bool = False,
        image_size: int = 256,
        num_frames: int = 25,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        if time_interpolation not in ("nearest", "linear"):
            raise ConfigError(
                f"model.time_interpolation={time_interpolation!r} must be 'nearest' or 'linear'"
            )
        if image_size % 8 or num_frames % 4 != 1:
            raise ConfigError(
                f"model.image_size={image_size} must be a multiple of 8, and model.num_frames={num_frames} be 1 + 4k"
            )
        self.image_size, self.num_frames, self.latent_channels = (
            image_size,
            num_frames,
            latent_channels,
        )
        self.decoder_causal, self.remat = time_interpolation == "nearest", remat
        side = image_size // 8
        self.latent_shapes = ((1 + num_frames // 4, side, side, latent_channels),)
        scale = AUTHORS_SCALE if authors_wavelets else 8**-0.5
        self.encoder = Encoder(
            base_channels, flow_channels, latent_channels, num_blocks, scale, rngs=rngs, dtype=dtype
        )
        self.decoder = Decoder(
            base_channels,
            flow_channels,
            latent_channels,
            num_blocks,
            num_connect_blocks,
            scale,
            time_interpolation,
            rngs=rngs,
            dtype=dtype,
        )

    def encode(
        self,
        clip: Shaped[Array, "b t h w c"],
        *,
        key: PRNGKeyArray | None = None,
        cache: CausalCache | None = None,
    ) -> tuple[Latent, ...]:
        """The posterior of uint8 or [-1, 1] clips: z is its mean, or with a key a sample.

        With `past` the clip is a part of one: see pipeline.nn.cache.
        """
        return (gaussian.of_moments(self.encoder(pixels.to_float(clip), cache)[0], key),)

    def decode(
        self,
        latents: Sequence[Float[Array, "b t h w d"]],
        *,
        num: int | None = None,
        key: PRNGKeyArray | None = None,
        temperature: Any = 1.0,
        cache: CausalCache | None = None,
    ) -> Reconstruction:
        """The clip of these latents; without latents, of `num` z from N(0, 1) (or its mean, where there is no key)."""
        z = gaussian.given_or_prior(
            latents, self.latent_shapes[0], num=num, key=key, temperature=temperature
        )
        return Reconstruction(self.decoder(z, cache)[0])

    def __call__(self, batch: Batch, *, key: PRNGKeyArray | None, train: bool) -> Outputs:
        """Posterior and reconstruction; aux["wavelets"] are pairs of bands (encoder's, decoder's), W2 and W3."""
        remat = self.remat and train
        moments, bands = self.encoder(pixels.to_float(jnp.asarray(pixels_of(batch))), remat=remat)
        latent = gaussian.of_moments(moments, key)
        recon, decoded = self.decoder(latent.z, remat=remat)
        return Outputs(Reconstruction(recon), (latent,), {"wavelets": tuple(zip(bands, decoded))})


def _add_low(bands: Clip, low: Clip) -> Clip:
    """Bands whose first ones, the low ones, get `low` added."""
    channels = low.shape[-1]
    return jnp.concatenate([bands[..., :channels] + low, bands[..., channels:]], axis=-1)


def _stage(stage: Any, x: Clip, cache: CausalCache | None, remat: bool) -> Clip:
    # What a Past collects must not come from within a rematerialised function; training has none.
    return nnx.remat(type(stage).__call__)(stage, x) if remat else stage(x, cache)
