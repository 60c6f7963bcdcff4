"""Ladder VAE (arXiv 1602.02282)."""

from pipeline.models.ladder_vae.model import HierarchicalVAE as HierarchicalVAE
from pipeline.models.ladder_vae.model import LadderVAE as LadderVAE
