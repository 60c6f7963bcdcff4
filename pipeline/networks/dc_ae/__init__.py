"""The encoder and decoder of DC-AE, the deep compression autoencoder (arXiv 2410.10733).

Images become a 32nd to a 128th of their height and width. Each change of resolution has a shortcut
without parameters, which moves pixels into channels and averages groups of those, or repeats
channels and moves them into pixels, so that deep levels learn residuals. Low resolutions attend
linearly (EfficientViT). The layers match the authors' and diffusers' AutoencoderDC one by one, so
that their weights fit: `strata import --from diffusers DIR`.
"""

from pipeline.networks.dc_ae.decoder import Decoder as Decoder
from pipeline.networks.dc_ae.encoder import Encoder as Encoder
