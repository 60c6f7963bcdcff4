"""Wan 2.1's networks (video/wan.py) with depthwise separable convolutions in all residual blocks.

It is a small network for the latents of a causal video codec: a block of w channels has 2 w (w +
30) weights and biases in place of 2 w (27 w + 2). The attention, the ends and the resampling are
Wan's, and so are the causality and the numbers of frames. Turbo-VAED (arXiv 2508.09136) makes its
decoders of depthwise layers too; this is not its network, and no weights of this one are published.
"""

from pipeline.networks.video import wan
from pipeline.networks.video.residual import ResBlock
from pipeline.nn.clips.depthwise import SeparableConv3d


class Layers(wan.Layers):
    """Makes the layers of one network, whose blocks are separable."""

    def separable(self, width: int, out: int) -> SeparableConv3d:
        return SeparableConv3d(width, out, time_padding="zeros", rngs=self.rngs, dtype=self.dtype)

    def block(self, width: int, out: int) -> ResBlock:
        conv, shortcut = self.separable, self.pointwise
        return ResBlock(width, out, norm=self.norm, conv=conv, shortcut=shortcut)


class Encoder(wan.Encoder):
    """Clips [b 1+4k h w c] in [-1, 1] -> features [b 1+k h/8 w/8 d]; the arguments are those of
    video.wan.Encoder.
    """

    layers = Layers


class Decoder(wan.Decoder):
    """Latents [b t h w d] -> clips [b 4t-3 8h 8w c] around [-1, 1]; the arguments are those of
    video.wan.Decoder.
    """

    layers = Layers
