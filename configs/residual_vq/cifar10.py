"""Residual codes (RQ-VAE, arXiv 2203.01941) in VQ-VAE's network on CIFAR-10: 662,723 parameters.

    strata train --config configs/residual_vq/cifar10.py --workdir runs/residual_vq_cifar10 \\
        --config.data.path=data/cifar10

configs/vq_vae/cifar10_ema.py with the sum of four codes at each position, from one codebook that
all levels share: 8x8 positions of 36 bits, 2,304 bits an image. The paper's own codec is for images
of 256x256, so that we know of no figure to expect.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

ema = run_path(str(Path(__file__).parents[1] / "vq_vae" / "cifar10_ema.py"))
vq = run_path(str(Path(__file__).parents[1] / "vq_vae" / "cifar10.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/vq_vae/cifar10.py, with two levels.

    It restarts no codes: those of its first steps would nearly coincide.
    """
    config = ema["get_config"]()
    config.model.bottleneck.name = "residual_vq.ResidualVQ"
    config.model.bottleneck.levels = 4
    config.model.bottleneck.shared = True
    if arg == "tiny":
        vq["tiny"](config)
        config.model.bottleneck.levels = 2
        config.model.bottleneck.codebook.restart_below = 0.0
    return config
