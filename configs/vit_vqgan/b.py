"""ViT-VQGAN B (arXiv 2110.04627): 170,664,483 parameters, 8x8 pixels to one of 8,192 codes.

    strata train --config configs/vit_vqgan/b.py --workdir runs/vit_vqgan_b \\
        --config.data.path=data/imagenet \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

configs/vit_vqgan/s.py with twelve blocks of 768 channels, and the same deviations. We know of no
figure to expect.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

small = run_path(str(Path(__file__).with_name("s.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/vit_vqgan/s.py."""
    config = small["get_config"]()
    for network in (config.model.encoder, config.model.decoder):
        network.width = 768
        network.depth = 12
        network.heads = 12
        network.hidden = 3_072
    return small["tiny"](config) if arg == "tiny" else config
