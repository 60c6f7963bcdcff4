"""The encoder and decoder of LiteVAE (arXiv 2405.14477).

The encoder sees an image as the Haar bands of a few levels. A U-Net without changes of resolution
reads each level, the results are averaged to the lowest resolution, and one more U-Net makes the
latents' features of all of them. The decoder is that of latent diffusion with self-modulated
convolutions in place of norms, and without attention.

The authors published no code. Widths and depths are theirs; what the paper leaves open follows the
public reimplementation of the same sizes, whose counts ours are.
"""

from pipeline.networks.lite_vae.decoder import Decoder as Decoder
from pipeline.networks.lite_vae.encoder import Encoder as Encoder
