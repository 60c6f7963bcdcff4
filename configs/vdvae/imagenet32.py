"""VDVAE (arXiv 2011.10650) on ImageNet at 32x32: 119M parameters, 78 stochastic layers.

    strata train --config configs/vdvae/imagenet32.py --workdir runs/vdvae_imagenet32 \\
        --config.data.path=data/imagenet32

The paper's hardware and time: 32 V100 GPUs, 2.5 weeks, 1.7 million steps. Expected figure, the
paper's and not ours: 3.80 bits per dimension, on the older (van den Oord) downsampling with its
49,999 evaluation images. The newer official one is resized with anti-aliasing, and its figures do
not compare.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

cifar10 = run_path(str(Path(__file__).with_name("cifar10.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a small model on scikit-learn's photographs."""
    config = cifar10["get_config"]()
    config.num_steps = 1_700_000
    config.batch_size = 256
    config.ema = 0.999
    config.model.enc_blocks = "32x15,32d2,16x9,16d2,8x8,8d2,4x6,4d4,1x6"
    config.model.dec_blocks = "1x2,4m1,4x4,8m4,8x9,16m8,16x19,32m16,32x40"
    config.model.width = 512
    config.model.input_shift = -116.2373
    config.model.input_scale = 1 / 69.37404
    config.optimizer.learning_rate = 1.5e-4
    config.optimizer.skip_norm = 300.0
    return cifar10["tiny"](config) if arg == "tiny" else config
