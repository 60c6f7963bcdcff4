"""VDVAE (Child, arXiv 2011.10650) on ImageNet at 32x32: 119M parameters, 78 stochastic layers.

    strata train --config configs/vdvae/imagenet32.py --workdir runs/vdvae_imagenet32 \\
        --config.data.path=data/imagenet32

The paper's hardware and time: 32 V100 GPUs, 2.5 weeks, 1.7 million steps.
Expected figure, the paper's and not ours: 3.80 bits per dimension, on the older (van den Oord) downsampling
with its 49,999 evaluation images. The newer official one is resized with anti-aliasing: its figures do not
compare.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

# By path, since a recipe is loaded by path and its folder need not be importable.
cifar10 = run_path(str(Path(__file__).with_name("cifar10.py")))


def get_config(arg: str = "") -> ConfigDict:
    """`:tiny` is a few steps of a small model on the photographs that ship with scikit-learn."""
    config = cifar10["get_config"]()
    config.num_steps, config.batch_size, config.ema = 1_700_000, 256, 0.999
    config.model.update(
        dict(
            enc_blocks="32x15,32d2,16x9,16d2,8x8,8d2,4x6,4d4,1x6",
            dec_blocks="1x2,4m1,4x4,8m4,8x9,16m8,16x19,32m16,32x40",
            width=512,
            input_shift=-116.2373,
            input_scale=1 / 69.37404,
        )
    )
    config.optimizer.update(dict(learning_rate=1.5e-4, clip_norm=200.0, skip_norm=300.0))
    return cifar10["tiny"](config) if arg == "tiny" else config
