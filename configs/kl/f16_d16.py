"""Latent diffusion's KL-f16 (arXiv 2112.10752): 69,610,963 parameters, 16x16 pixels to 16 numbers.

    strata train --config configs/kl/f16_d16.py --workdir runs/kl_f16_d16 \\
        --config.data.path=data/imagenet \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

As configs/kl/f4.py with five resolutions, the lowest of which attends after each block.

Expected figures on ImageNet's validation set at 256x256, the authors' and not ours: PSNR 24.08 dB,
rFID 0.87.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

f4 = run_path(str(Path(__file__).with_name("f4.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/kl/f4.py."""
    config = f4["get_config"]()
    config.model.latent_channels = 16
    for network in (config.model.encoder, config.model.decoder):
        network.channels = (128, 128, 256, 256, 512)
        network.attention_levels = (4,)
    return f4["tiny"](config) if arg == "tiny" else config
