"""VDVAE: Very Deep VAEs (arXiv 2011.10650)."""

from pipeline.models.vdvae.model import VDVAE as VDVAE
