"""VQGAN (arXiv 2012.09841) of 16,384 codes: 76,073,859 parameters, 16x16 pixels to a code.

    strata train --config configs/vqgan/f16_16384.py --workdir runs/vqgan_f16_16384 \\
        --config.data.path=data/imagenet \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

configs/vqgan/f16_1024.py with 16,384 codes in place of 1,024, and the same deviations.

Expected figure on ImageNet's validation set at 256x256, the authors' and not ours: rFID 4.98.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

vqgan = run_path(str(Path(__file__).with_name("f16_1024.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/vqgan/f16_1024.py."""
    config = vqgan["get_config"]()
    config.model.bottleneck.num_codes = 16_384
    return vqgan["tiny"](config) if arg == "tiny" else config
