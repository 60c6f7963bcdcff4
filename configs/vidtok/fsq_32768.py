"""VidTok FSQ (arXiv 2412.13061): 157,424,012 parameters, 4x8x8 pixels to one of 32,768 codes.

    strata train --config configs/vidtok/fsq_32768.py --workdir runs/vidtok_fsq_32768 \\
        --config.data.path=videos \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

As configs/vidtok/kl_4ch.py, with codes of 5 elements of 8 levels in place of Gaussian latents, and
without a loss of their own. We know of no figure to expect.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

kl_4ch = run_path(str(Path(__file__).with_name("kl_4ch.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/vidtok/kl_4ch.py."""
    config = kl_4ch["get_config"](arg)
    config.model.latent_channels = 5
    config.model.bottleneck = dict(name="fsq.StretchedFSQ", levels=(8, 8, 8, 8, 8))
    config.objective.rate.weight = 0.0
    return config
