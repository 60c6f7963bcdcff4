"""TiTok S-128 (arXiv 2406.07550): 83,674,639 parameters, an image of 256x256 to 128 codes of 4,096.

    strata train --config configs/titok/s128.py --workdir runs/titok_s128 \\
        --config.data.path=data/imagenet \\
        --config.objective.proxy_codes.codec=runs/vqgan_f16_1024/codec \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

configs/titok/l32.py with 8 blocks of 512 channels and 128 tokens, and the same deviations.

Expected figure on ImageNet's validation set at 256x256, the authors' and not ours: rFID 1.71.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

large = run_path(str(Path(__file__).with_name("l32.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/titok/l32.py."""
    config = large["get_config"]()
    config.model.num_tokens = 128
    config.model.width = 512
    config.model.depth = 8
    config.model.heads = 8
    return large["tiny"](config) if arg == "tiny" else config
