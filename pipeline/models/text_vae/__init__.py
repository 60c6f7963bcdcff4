"""VAE of sentences with an LSTM on either side (Bowman et al., arXiv 1511.06349)."""

from pipeline.models.text_vae.model import TextVAE

__all__ = ["TextVAE"]
