"""Ladder VAE (arXiv 1602.02282)."""

from pipeline.models.ladder_vae.model import LadderVAE as LadderVAE
