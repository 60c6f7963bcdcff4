"""SoftVQ B-64 (arXiv 2412.10958): 172,973,088 parameters, an image of 256x256 to 64 tokens.

    strata train --config configs/soft_vq/b64.py --workdir runs/soft_vq_b64 \\
        --config.data.path=data/imagenet \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The network of configs/maetok/b128.py with 64 tokens, of which nothing is hidden in training. A
token is a mean of the 8,192 codes of one of four codebooks, weighted by a softmax of cosines; two
entropies keep the weights sharp and all codes in use.

Deviations: the discriminator, as there, and no alignment with features of DINOv2.

Expected figure on ImageNet's validation set at 256x256, the authors' and not ours: rFID 0.88.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

maetok = run_path(str(Path(__file__).parents[1] / "maetok" / "b128.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` has one block on either side."""
    config = maetok["get_config"]()
    config.model = ConfigDict()
    config.model.name = "titok.ScaledTokens"
    config.model.image_size = 256
    config.model.patch = 16
    config.model.num_tokens = 64
    config.model.latent_channels = 32
    config.model.encoder_size = dict(width=768, depth=12, heads=12)
    config.model.decoder_size = dict(width=768, depth=12, heads=12)
    config.model.bottleneck = ConfigDict()
    config.model.bottleneck.name = "soft_vq.SoftVQ"
    config.model.bottleneck.codebook_size = 8_192
    config.model.bottleneck.codebooks = 4
    config.model.bottleneck.temperature = 0.07
    config.objective.soft_code_entropy = dict(weight=0.01, temperature=0.01)
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink all sizes, and the codebooks to two of 16 codes."""
    maetok["tiny"](config)
    config.model.bottleneck.codebook_size = 16
    config.model.bottleneck.codebooks = 2
    return config
