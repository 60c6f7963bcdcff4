"""TiTok BL-128 in its KL form (arXiv 2406.07550): 389,581,940 parameters, an image to 128 tokens.

    strata train --config configs/titok/bl128_kl.py --workdir runs/titok_bl128_kl \\
        --config.data.path=data/imagenet \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

As configs/titok/bl64_kl.py, with 128 tokens.

Expected figure on ImageNet's validation set at 256x256, the authors' and not ours: rFID 0.84.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

bl64 = run_path(str(Path(__file__).with_name("bl64_kl.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/titok/bl64_kl.py."""
    config = bl64["get_config"]()
    config.model.num_tokens = 128
    return bl64["tiny"](config) if arg == "tiny" else config
