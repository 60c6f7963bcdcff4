"""TiTok LL-32 in its KL form (arXiv 2406.07550): 606,879,604 parameters, an image to 32 tokens.

    strata train --config configs/titok/ll32_kl.py --workdir runs/titok_ll32_kl \\
        --config.data.path=data/imagenet \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

As configs/titok/bl64_kl.py, with 32 tokens and large transformers on both sides.

Expected figure on ImageNet's validation set at 256x256, the authors' and not ours: rFID 1.61.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

bl64 = run_path(str(Path(__file__).with_name("bl64_kl.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/titok/bl64_kl.py."""
    config = bl64["get_config"]()
    config.model.num_tokens = 32
    config.model.encoder_size = dict(width=1_024, depth=24, heads=16)
    return bl64["tiny"](config) if arg == "tiny" else config
