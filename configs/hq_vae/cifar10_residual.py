"""HQ-VAE with residual layers, RSQ-VAE (arXiv 2401.00365), on CIFAR-10: four codes at 8x8.

    strata train --config configs/hq_vae/cifar10_residual.py --workdir runs/rsq_vae_cifar10 \\
        --config.data.path=data/cifar10

The model has 1.1M parameters. Data, hardware, training and sizes are as in
configs/hq_vae/cifar10.py, and so is what we have not checked against the paper (Takida et al.). The
number of levels is our choice.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

cifar10 = run_path(str(Path(__file__).with_name("cifar10.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a small model on scikit-learn's photographs."""
    config = cifar10["get_config"](arg)
    del config.model.layers
    config.model.name = "hq_vae.RSQVAE"
    config.model.levels = 2 if arg == "tiny" else 4
    return config
