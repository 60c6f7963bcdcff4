"""Finite scalar quantization (FSQ, arXiv 2309.15505) in the network of VQ-VAE on CIFAR-10.

    strata train --config configs/fsq/cifar10.py --workdir runs/fsq_cifar10 \\
        --config.data.path=data/cifar10

configs/vq_vae/cifar10.py with 8 levels in each of three elements, 512 points of a grid, in place of
a codebook: 584,582 parameters, and no loss but the error of the images. The paper's section 4.1 has
8, 5, 5, 5 levels for about as many codes; 512 are as many as those of the other recipes of this
network. We know of no figure to expect.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

vq = run_path(str(Path(__file__).parents[1] / "vq_vae" / "cifar10.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/vq_vae/cifar10.py."""
    config = vq["get_config"]()
    config.model.latent_channels = 3
    config.model.bottleneck = dict(name="fsq.FSQ", levels=(8, 8, 8))
    del config.objective.quantization
    return vq["tiny"](config) if arg == "tiny" else config
