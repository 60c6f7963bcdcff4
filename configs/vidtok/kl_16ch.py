"""VidTok KL-16 (arXiv 2412.13061): 157,949,351 parameters, 4x8x8 pixels of a clip to 16 numbers.

    strata train --config configs/vidtok/kl_16ch.py --workdir runs/vidtok_kl_16ch \\
        --config.data.path=videos \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

As configs/vidtok/kl_4ch.py, with more latent channels. Expected figure of the authors' weights,
theirs and not ours, on 17 frames at 256x256 of MCL-JCV: 35.04 dB.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

kl_4ch = run_path(str(Path(__file__).with_name("kl_4ch.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/vidtok/kl_4ch.py."""
    config = kl_4ch["get_config"](arg)
    config.model.latent_channels = 16
    return config
