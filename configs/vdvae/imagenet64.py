"""VDVAE (Child, arXiv 2011.10650) on ImageNet at 64x64: 125M parameters, 75 stochastic layers.

    strata train --config configs/vdvae/imagenet64.py --workdir runs/vdvae_imagenet64 \\
        --config.data.path=data/imagenet64

The paper's hardware and time: 32 V100 GPUs, 2.5 weeks, 1.6 million steps.
Expected figure, the paper's and not ours: 3.52 bits per dimension, on the older (van den Oord) downsampling.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

# By path, since a recipe is loaded by path and its folder need not be importable.
cifar10 = run_path(str(Path(__file__).with_name("cifar10.py")))


def get_config(arg: str = "") -> ConfigDict:
    """`:tiny` is a few steps of a small model on the photographs that ship with scikit-learn."""
    config = cifar10["get_config"]()
    config.num_steps, config.batch_size, config.ema = 1_600_000, 128, 0.999
    config.data.image_size = 64
    config.model.update(
        dict(
            enc_blocks="64x11,64d2,32x20,32d2,16x9,16d2,8x8,8d2,4x7,4d4,1x5",
            dec_blocks="1x2,4m1,4x3,8m4,8x7,16m8,16x15,32m16,32x31,64m32,64x12",
            width=512,
            image_size=64,
            input_shift=-115.92961967,
            input_scale=1 / 69.37404,
        )
    )
    config.optimizer.update(dict(learning_rate=1.5e-4, clip_norm=220.0, skip_norm=380.0))
    return cifar10["tiny"](config) if arg == "tiny" else config
