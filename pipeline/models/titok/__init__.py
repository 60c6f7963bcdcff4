"""TiTok: images as a short sequence of tokens (arXiv 2406.07550)."""

from pipeline.models.titok.model import TiTok as TiTok
