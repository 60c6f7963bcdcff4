"""NVAE (arXiv 2007.03898) on FFHQ at 256x256 with 5 bits: 331M parameters, 36 groups.

    strata train --config configs/nvae/ffhq256.py --workdir runs/nvae_ffhq256 \\
        --config.data.path=data/ffhq256

The paper's hardware and time: 24 V100 GPUs of 32 GB, 4 images each, 160 hours for 200 epochs.
Expected figure, the paper's and not ours: 0.69 bits per dimension (importance-weighted bound).
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

cifar10 = run_path(str(Path(__file__).with_name("cifar10.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a small model on scikit-learn's photographs."""
    config = cifar10["get_config"]()
    config.data.image_size = 256
    config.data.bits = 5
    config.model.image_size = 256
    config.model.channels = 30
    config.model.groups = (4, 4, 4, 8, 16)
    config.model.num_flows = 2
    config.model.likelihood.bits = 5
    config.optimizer.learning_rate = 8e-3
    config.eval.batch_size = 96
    cifar10["schedule"](
        config, examples=63_000, batch_size=96, epochs=200, spectral=1e-1, spectral_start=1.0
    )
    return cifar10["tiny"](config) if arg == "tiny" else config
