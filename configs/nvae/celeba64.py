"""NVAE (arXiv 2007.03898) on CelebA at 64x64: 153M parameters, 35 groups.

    strata train --config configs/nvae/celeba64.py --workdir runs/nvae_celeba64 \\
        --config.data.path=data/celeba64

The paper's hardware and time: 8 V100 GPUs of 16 GB, 16 images each, 92 hours for 90 epochs.
Expected figure, the paper's and not ours: 2.03 bits per dimension on the test images
(importance-weighted bound).
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

cifar10 = run_path(str(Path(__file__).with_name("cifar10.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a small model on scikit-learn's photographs."""
    config = cifar10["get_config"]()
    config.data.image_size = 64
    config.model.image_size = 64
    config.model.channels = 64
    config.model.groups = (5, 10, 20)
    config.eval.batch_size = 128
    cifar10["schedule"](config, examples=162_770, batch_size=128, epochs=90, spectral=1e-1)
    return cifar10["tiny"](config) if arg == "tiny" else config
