"""NVAE (Vahdat and Kautz, arXiv 2007.03898) on FFHQ at 256x256 with 5 bits: 331M parameters, 36 groups of latents.

    strata train --config configs/nvae/ffhq256.py --workdir runs/nvae_ffhq256 \\
        --config.data.path=data/ffhq256

The paper's hardware and time: 24 V100 GPUs of 32 GB, 4 images each, 160 hours for 200 epochs.
Expected figure, the paper's and not ours: 0.69 bits per dimension (importance-weighted bound).
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

# By path, since a recipe is loaded by path and its folder need not be importable.
cifar10 = run_path(str(Path(__file__).with_name("cifar10.py")))


def get_config(arg: str = "") -> ConfigDict:
    """`:tiny` is a few steps of a small model on the photographs that ship with scikit-learn."""
    config = cifar10["get_config"]()
    config.data.update(dict(image_size=256, bits=5))
    config.model.update(dict(image_size=256, channels=30, groups=(4, 4, 4, 8, 16), num_flows=2))
    config.model.likelihood.bits = 5
    config.optimizer.learning_rate = 8e-3
    cifar10["schedule"](
        config, examples=63_000, batch_size=96, epochs=200, spectral=1e-1, spectral_start=1.0
    )
    config.eval.batch_size = 96
    return cifar10["tiny"](config) if arg == "tiny" else config
