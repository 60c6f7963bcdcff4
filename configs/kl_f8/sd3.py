"""Stable Diffusion 3's autoencoder (arXiv 2403.03206): 83.8M parameters, 8x8 pixels to 16 numbers.

    strata train --config configs/kl_f8/sd3.py --workdir runs/kl_f8_sd3 \\
        --config.data.path=data/imagenet \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The network of configs/kl_f8/sd.py with 16 latent channels and without the 1x1 convolutions around
them. The paper describes neither training, hardware nor time, so that everything else is as in
configs/kl_f8/sd.py. We know of no figure to expect.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

sd = run_path(str(Path(__file__).with_name("sd.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/kl_f8/sd.py."""
    config = sd["get_config"]()
    config.model.latent_channels = 16
    config.model.quant_convs = False
    return sd["tiny"](config) if arg == "tiny" else config
