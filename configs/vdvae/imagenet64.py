"""VDVAE (arXiv 2011.10650) on ImageNet at 64x64: 125M parameters, 75 stochastic layers.

    strata train --config configs/vdvae/imagenet64.py --workdir runs/vdvae_imagenet64 \\
        --config.data.path=data/imagenet64

The paper's hardware and time: 32 V100 GPUs, 2.5 weeks, 1.6 million steps. Expected figure, the
paper's and not ours: 3.52 bits per dimension, on the older (van den Oord) downsampling.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

cifar10 = run_path(str(Path(__file__).with_name("cifar10.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a small model on scikit-learn's photographs."""
    config = cifar10["get_config"]()
    config.num_steps = 1_600_000
    config.batch_size = 128
    config.ema = 0.999
    config.data.image_size = 64
    config.model.image_size = 64
    config.model.enc_blocks = "64x11,64d2,32x20,32d2,16x9,16d2,8x8,8d2,4x7,4d4,1x5"
    config.model.dec_blocks = "1x2,4m1,4x3,8m4,8x7,16m8,16x15,32m16,32x31,64m32,64x12"
    config.model.width = 512
    config.model.input_shift = -115.92961967
    config.model.input_scale = 1 / 69.37404
    config.optimizer.learning_rate = 1.5e-4
    config.optimizer.clip_norm = 220.0
    config.optimizer.skip_norm = 380.0
    return cifar10["tiny"](config) if arg == "tiny" else config
