"""The encoder and decoder of WF-VAE (arXiv 2411.17459), a causal video codec.

The low wavelet bands bypass the network. Clips of 1 + 4k frames, of heights and widths that are
multiples of 8, become 1 + k frames of an eighth of the height and width. The encoder sees a clip's
Haar bands (W1), and at a quarter and an eighth of the resolution also the bands of W1's and of W2's
low band; the decoder predicts all three, each adding the low band reconstructed below it (section
3.2). aux["wavelets"] are the bands (W2, W3).

Where we deviate: wavelets are orthonormal (the authors' 0.3536 is `authors_wavelets`), and frames
are doubled in time without looking ahead (theirs is time_interpolation="linear"), so that chunks of
any length give what the whole gives.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.backend import cpu_schedule
from pipeline.core.errors import ConfigError
from pipeline.nn import resample
from pipeline.nn.attention import SpatialAttention
from pipeline.nn.cache import CausalCache, starts_clip
from pipeline.nn.conv3d import CausalConv3d
from pipeline.nn.norm import LayerNorm
from pipeline.nn.norm_act_conv import norm_act_conv
from pipeline.nn.remat import run
from pipeline.nn.wavelet import haar_2d, haar_3d, inverse_haar_2d, inverse_haar_3d

EPS = 1e-6
FRAME = (1, 3, 3)  # a kernel within single frames
Clip = Float[Array, "b _ _ _ _"]
# Filters of the authors' 3-D transforms: the orthonormal ones, rounded to 4 digits.
AUTHORS_SCALE = 0.3536


class ResBlock(nnx.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), with a 1x1x1 convolution of x where the width
    changes.
    """

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
    """A convolution to `out` channels, residual blocks, and a convolution that halves the
    resolution.
    """

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
    """A residual block, attention within each frame and a residual block, at the resolution of the
    latents.
    """

    def __init__(self, width: int, middle: int, out: int, *, rngs: nnx.Rngs, dtype: Any):
        self.block1 = ResBlock(width, middle, 3, rngs=rngs, dtype=dtype)
        self.attention = SpatialAttention(
            middle, norm=LayerNorm(middle, eps=EPS), rngs=rngs, dtype=dtype
        )
        self.block2 = ResBlock(middle, out, 3, rngs=rngs, dtype=dtype)

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        return self.block2(self.attention(self.block1(x, cache)), cache)


class Up(nnx.Module):
    """Blocks of these widths, a doubling of the resolution, a convolution, and a last block to
    `out` channels.

    With time_interpolation "" it doubles height and width only, by repeating pixels; with "nearest"
    or "linear" it doubles time as well.
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
            # Rows and columns first, while there are half as many frames.
            x = resample.double_frames(resample.bilinear_double(x), first=first)
        return self.block_out(self.conv(x, cache), cache)


class Connection(nnx.Module):
    """The flow's channels of the decoder -> wavelet bands."""

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
    """Clips [b t h w c] in [-1, 1] -> features [b 1+t/4 h/8 w/8 d], and the bands W2 and W3 (figure
    2).

    Args:
      base_channels: 128, 160 or 192 in the paper (S, M, L).
      flow_channels: width of the wavelets' own path, F in the paper.
      num_blocks: residual blocks of a stage.
      authors_wavelets: 0.3536 in place of 1 / sqrt(8), for the authors' weights.
    """

    is_video, spatial_factor, temporal_factor, causal = True, 8, 4, True

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        base_channels: int,
        flow_channels: int = 128,
        num_blocks: int = 2,
        authors_wavelets: bool = False,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        same: Any = dict(rngs=rngs, dtype=dtype)
        width, flow = base_channels, flow_channels
        bands_2d, bands_3d = 4 * in_channels, 8 * in_channels
        self.in_channels, self.out_channels = in_channels, out_channels
        self.scale = _scale(authors_wavelets)
        self.down1 = Down(bands_3d, width, num_blocks, FRAME, in_time=False, **same)
        self.connect1 = CausalConv3d(bands_2d, flow, FRAME, key=rngs.params(), dtype=dtype)
        self.down2 = Down(width + flow, 2 * width, num_blocks, 3, in_time=True, **same)
        self.connect2 = CausalConv3d(bands_3d, flow, FRAME, key=rngs.params(), dtype=dtype)
        self.middle = Middle(2 * width + flow, 4 * width, 4 * width, **same)
        self.norm_out = LayerNorm(4 * width, eps=EPS)
        self.conv_out = CausalConv3d(4 * width, out_channels, 3, key=rngs.params(), dtype=dtype)

    def __call__(
        self, x: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, tuple[Clip, Clip]]]:
        first, low = starts_clip(cache), self.in_channels
        bands1 = haar_3d(x, first=first, scale=self.scale)
        bands2 = haar_2d(bands1[..., :low])
        bands3 = haar_3d(bands2[..., :low], first=first, scale=self.scale)
        h = run(self.down1, bands1, cache, remat=remat)
        h = jnp.concatenate([h, self.connect1(bands2)], axis=-1)
        h = run(self.down2, h, cache, remat=remat)
        h = jnp.concatenate([h, self.connect2(bands3)], axis=-1)
        h = run(self.middle, h, cache, remat=remat)
        y = norm_act_conv(self.norm_out, self.conv_out, h, cache)
        return y, {"wavelets": (bands2, bands3)}


class Decoder(nnx.Module):
    """Latents [b t h w d] -> clips [b 4t-3 8h 8w c] around [-1, 1], and the predicted bands W2 and
    W3.

    Args:
      base_channels, flow_channels, num_blocks, authors_wavelets: as the encoder's.
      num_connect_blocks: residual blocks before each level's bands.
      time_interpolation: "nearest" repeats frames and looks at none ahead; "linear" is what the
        authors' weights were trained with, and makes chunks of latents give other frames than the
        whole.
    """

    is_video, spatial_factor, temporal_factor = True, 8, 4
    last_layer = "conv_out.kernel"

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        base_channels: int,
        flow_channels: int = 128,
        num_blocks: int = 2,
        num_connect_blocks: int = 1,
        time_interpolation: str = "nearest",
        authors_wavelets: bool = False,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        if time_interpolation not in ("nearest", "linear"):
            raise ConfigError(
                f"time_interpolation={time_interpolation!r} of wf_vae.Decoder must be 'nearest' or "
                "'linear'"
            )
        same: Any = dict(rngs=rngs, dtype=dtype)
        width, flow = base_channels, flow_channels
        bands_2d, bands_3d = 4 * out_channels, 8 * out_channels
        self.causal, self.out_channels = time_interpolation == "nearest", out_channels
        self.scale, self.flow = _scale(authors_wavelets), flow
        self.conv_in = CausalConv3d(in_channels, 4 * width, 3, key=rngs.params(), dtype=dtype)
        self.middle = Middle(4 * width, 4 * width, 4 * width + flow, **same)
        self.connect2 = Connection(flow, bands_3d, num_connect_blocks, **same)
        wide, half = [4 * width] * (num_blocks + 1), [4 * width] + [2 * width] * num_blocks
        self.up2 = Up(wide, 4 * width + flow, time_interpolation=time_interpolation, **same)
        self.connect1 = Connection(flow, bands_2d, num_connect_blocks, **same)
        self.up1 = Up(half, 2 * width, **same)
        self.blocks = nnx.List(
            [ResBlock(2 * width, width, 3, **same), ResBlock(width, width, 3, **same)]
        )
        self.norm_out = LayerNorm(width, eps=EPS)
        self.conv_out = CausalConv3d(width, bands_3d, FRAME, key=rngs.params(), dtype=dtype)

    def __call__(
        self, z: Clip, *, cache: CausalCache | None = None, remat: bool = False
    ) -> tuple[Clip, dict[str, tuple[Clip, Clip]]]:
        first = starts_clip(cache)
        h = run(self.middle, self.conv_in(z, cache), cache, remat=remat)
        # Bands before the wider maps: the flow's part of h would keep alive all that h was computed
        # from.
        bands3 = self.connect2(h[..., -self.flow :], cache).astype(jnp.float32)
        h = run(self.up2, cpu_schedule.after([bands3], h[..., : -self.flow]), cache, remat=remat)
        bands2 = self.connect1(h[..., -self.flow :], cache).astype(jnp.float32)
        bands2 = _add_low(bands2, inverse_haar_3d(bands3, first=first, scale=self.scale))
        h = run(self.up1, cpu_schedule.after([bands2], h[..., : -self.flow]), cache, remat=remat)
        for block in self.blocks:
            h = run(block, h, cache, remat=remat)
        bands1 = norm_act_conv(self.norm_out, self.conv_out, h).astype(jnp.float32)
        bands1 = _add_low(bands1, inverse_haar_2d(bands2))
        clip = inverse_haar_3d(bands1, first=first, scale=self.scale)
        return clip, {"wavelets": (bands2, bands3)}


def _scale(authors_wavelets: bool) -> float:
    return AUTHORS_SCALE if authors_wavelets else 8**-0.5


def _add_low(bands: Clip, low: Clip) -> Clip:
    """Return the bands with `low` added to the first ones, the low band."""
    channels = low.shape[-1]
    return jnp.concatenate([bands[..., :channels] + low, bands[..., channels:]], axis=-1)
