"""IV-VAE z16 d96 (arXiv 2411.06449): 241,854,742 parameters, 4x8x8 pixels to 16 numbers.

    strata train --config configs/iv_vae/z16_d96.py --workdir runs/iv_vae_z16_d96 \\
        --config.data.path=videos \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

As configs/iv_vae/z4_d64.py, with more latent channels and wider networks. We know of no figure to
expect.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

z4_d64 = run_path(str(Path(__file__).with_name("z4_d64.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/iv_vae/z4_d64.py."""
    config = z4_d64["get_config"](arg)
    config.model.latent_channels = 16
    if arg != "tiny":
        config.model.encoder.width = 96
        config.model.decoder.width = 96
    return config
