"""Latent diffusion's KL-f32 (arXiv 2112.10752): 103,880,131 parameters, 32x32 pixels to 64 numbers.

    strata train --config configs/kl/f32_d64.py --workdir runs/kl_f32_d64 \\
        --config.data.path=data/imagenet \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

As configs/kl/f4.py with six resolutions, the two lowest of which attend after each block.

Expected figures on ImageNet's validation set at 256x256, the authors' and not ours: PSNR 22.27 dB,
rFID 2.04.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

f4 = run_path(str(Path(__file__).with_name("f4.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/kl/f4.py."""
    config = f4["get_config"]()
    config.model.latent_channels = 64
    for network in (config.model.encoder, config.model.decoder):
        network.channels = (128, 128, 256, 256, 512, 512)
        network.attention_levels = (4, 5)
    return f4["tiny"](config) if arg == "tiny" else config
