"""LiteVAE-S (arXiv 2405.14477): 54,309,726 parameters, 8x8 pixels to 12 numbers.

    strata train --config configs/lite_vae/s.py --workdir runs/lite_vae_s \\
        --config.data.path=data/imagenet \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

As configs/lite_vae/b.py with an encoder of 977,084 parameters. We know of no figure to expect.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

base = run_path(str(Path(__file__).with_name("b.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/lite_vae/b.py."""
    config = base["get_config"]()
    config.model.encoder.widths = (16, 32, 32)
    config.model.encoder.depth = 3
    config.model.encoder.joint_widths = (16, 32, 32)
    config.model.encoder.joint_depth = 3
    return base["tiny"](config) if arg == "tiny" else config
