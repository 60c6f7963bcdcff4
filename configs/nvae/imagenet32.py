"""NVAE (arXiv 2007.03898) on ImageNet at 32x32: 269M parameters, 28 groups.

    strata train --config configs/nvae/imagenet32.py --workdir runs/nvae_imagenet32 \\
        --config.data.path=data/imagenet32

The paper's hardware and time: 24 V100 GPUs of 16 GB, 24 images each, 70 hours for 45 epochs.
Expected figure, the paper's and not ours: 3.92 bits per dimension on the validation images
(importance-weighted bound).
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

cifar10 = run_path(str(Path(__file__).with_name("cifar10.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a small model on scikit-learn's photographs."""
    config = cifar10["get_config"]()
    config.model.channels = 192
    config.model.groups = (28,)
    config.eval.batch_size = 576
    cifar10["schedule"](
        config,
        examples=1_281_149,
        batch_size=576,
        epochs=45,
        spectral=1e-2,
        spectral_start=1.0,
        warmup_epochs=1,
    )
    return cifar10["tiny"](config) if arg == "tiny" else config
