"""NVAE: a deep hierarchical VAE (arXiv 2007.03898)."""

from pipeline.models.nvae.model import NVAE as NVAE
