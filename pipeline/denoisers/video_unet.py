"""A U-Net for clips: DDPM's, with layers between the frames of each pixel.

Convolutions and attention are within frames, as in video diffusion models (arXiv 2204.03458).
Frames are joined by a convolution over three frames after each residual block, which gives them
their order, and where there is attention, by attention over all frames. Both begin without effect,
so that a U-Net for images becomes one for clips unchanged. (The paper has attention with relative
positions in place of the convolution.)
"""

from typing import Any, ClassVar

from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.denoisers import unet
from pipeline.nn.attention import attend_to_all
from pipeline.nn.conv3d import CentredConv3d
from pipeline.nn.norm import GroupNorm

Clip = Float[Array, "b t h w _"]


class ResBlock(nnx.Module):
    """unet.ResBlock, then x + conv(silu(norm(x))) over three frames."""

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
        self.within = unet.ResBlock(
            width, out, embedding, groups=groups, dropout=dropout, rngs=rngs, dtype=dtype
        )
        self.norm = GroupNorm(out, groups=groups, eps=unet.EPS)
        self.between = CentredConv3d(
            out, out, (3, 1, 1), init_scale=0.0, key=rngs.params(), dtype=dtype
        )

    def __call__(
        self, x: Clip, embedding: Float[Array, "b e"], key: PRNGKeyArray | None = None
    ) -> Clip:
        x = self.within(x, embedding, key)
        return x + self.between(nnx.silu(self.norm(x)))


class ClipAttention(nnx.Module):
    """Attention of each pixel within its frame, then to the same pixel in all frames."""

    def __init__(self, width: int, heads: int, *, groups: int, rngs: nnx.Rngs, dtype: Any):
        settings: Any = dict(groups=groups, rngs=rngs, dtype=dtype)
        self.within = unet.PixelAttention(width, heads, **settings)
        self.between = FrameAttention(width, heads, **settings)

    def __call__(self, x: Clip) -> Clip:
        return self.between(self.within(x))


class FrameAttention(unet.PixelAttention):
    """x + out(attention of each pixel of norm(x) to the same pixel in all frames), with heads."""

    def __call__(self, x: Clip) -> Clip:
        moved = self.norm(x).transpose(0, 2, 3, 1, 4)
        tokens = self.qkv(moved.reshape(-1, *moved.shape[3:]))
        out = self.out(attend_to_all(tokens, self.heads)).reshape(moved.shape)
        return x + out.transpose(0, 3, 1, 2, 4)


class VideoUNet(unet.UNet):
    """x_t [b t h w c] and t [b] -> a prediction [b t h w d]; the arguments are `unet.UNet`'s."""

    block: ClassVar[Any] = ResBlock
    attention: ClassVar[Any] = ClipAttention
