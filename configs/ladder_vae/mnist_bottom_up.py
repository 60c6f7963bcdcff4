"""The bottom-up VAE that the Ladder VAE (arXiv 1602.02282) is compared with, same arrays.

    strata train --config configs/ladder_vae/mnist_bottom_up.py --workdir runs/bottom_up \\
        --config.data.path=mnist.npz

The model has 1.7M parameters. In the paper the upper layers of this model stay unused, and a fourth
and a fifth layer bring nothing.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

ladder = run_path(str(Path(__file__).with_name("mnist.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/ladder_vae/mnist.py."""
    config = ladder["get_config"](arg)
    config.model.name = "ladder_vae.HierarchicalVAE"
    return config
