"""The encoder and decoder of LTX-Video (arXiv 2501.00103) and LTX-2 (arXiv 2601.03233).

Patches of 4x4 pixels and three halvings of height and width and of time make one latent of
32x32x8 pixels; clips of 1 + 8k frames become 1 + k. The encoder is causal. The published decoders
look ahead by a frame in each convolution: chunks of latents give other frames than the whole.

The versions differ in settings only: how a level halves (a strided convolution in 0.9.0 and 0.9.1,
packing into channels since), widths, the padding of frames (LTX-2.0 decodes with mirrored edges),
and in the decoder's conditioning on a time (0.9.1 to 0.9.8) and its injected noise (0.9.1).
"""

from pipeline.networks.video.ltx.decoder import Decoder
from pipeline.networks.video.ltx.encoder import Encoder

__all__ = ["Decoder", "Encoder"]
