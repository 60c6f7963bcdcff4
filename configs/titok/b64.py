"""TiTok B-64 (arXiv 2406.07550): 204,814,095 parameters, an image of 256x256 to 64 codes of 4,096.

    strata train --config configs/titok/b64.py --workdir runs/titok_b64 \\
        --config.data.path=data/imagenet \\
        --config.objective.proxy_codes.codec=runs/vqgan_f16_1024/codec \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

configs/titok/l32.py with 12 blocks of 768 channels and 64 tokens, and the same deviations.

Expected figure on ImageNet's validation set at 256x256, the authors' and not ours: rFID 1.70.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

large = run_path(str(Path(__file__).with_name("l32.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/titok/l32.py."""
    config = large["get_config"]()
    config.model.num_tokens = 64
    config.model.width = 768
    config.model.depth = 12
    config.model.heads = 12
    return large["tiny"](config) if arg == "tiny" else config
