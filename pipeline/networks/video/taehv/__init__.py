"""TAEHV, tiny autoencoders for the latents of video models (github.com/madebyollin/taehv).

Convolutions within frames; the blocks also see the frame before, which is black in front of a clip,
and groups of frames become one by 1x1 convolutions. A clip of 1 + 4k frames gets 3 copies of its
last frame behind, and becomes 1 + k latents of 4 frames each, so that the encoder is not causal:
the latent of an image is not the first one of a clip. The decoder is, and drops the first 3 of 4k
frames. The layers match the author's one by one: `strata import --from taehv FILE`.
"""

from pipeline.networks.video.taehv.decoder import Decoder as Decoder
from pipeline.networks.video.taehv.encoder import Encoder as Encoder
