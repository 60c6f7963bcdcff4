"""TiTok and its relatives: images as short sequences of tokens (arXiv 2406.07550, 2502.03444)."""

from pipeline.models.titok.kl import TiTokKL as TiTokKL
from pipeline.models.titok.masked import MAETok as MAETok
from pipeline.models.titok.model import TiTok as TiTok
from pipeline.models.titok.scaled import ScaledTokens as ScaledTokens
