"""VDVAE (arXiv 2011.10650) on FFHQ at 256x256 with 5 bits: 115M parameters, 66 stochastic layers.

    strata train --config configs/vdvae/ffhq256.py --workdir runs/vdvae_ffhq256 \\
        --config.data.path=data/ffhq256

The paper's hardware and time: 32 V100 GPUs, 2.5 weeks, one image per GPU. Expected figure, the
paper's and not ours: 0.61 bits per dimension with the authors' 5-bit likelihood, which does not sum
to one and flatters by up to 0.04. It is one more key of model.likelihood, authors_low_bit=True; the
default is normalised.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

cifar10 = run_path(str(Path(__file__).with_name("cifar10.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a small model on scikit-learn's photographs."""
    config = cifar10["get_config"]()
    config.num_steps = 1_700_000
    config.ema = 0.999
    config.data.image_size = 256
    config.model.image_size = 256
    config.model.enc_blocks = (
        "256x3,256d2,128x8,128d2,64x12,64d2,32x17,32d2,16x7,16d2,8x5,8d2,4x5,4d4,1x4"
    )
    config.model.dec_blocks = (
        "1x2,4m1,4x3,8m4,8x4,16m8,16x9,32m16,32x21,64m32,64x13,128m64,128x7,256m128"
    )
    config.model.width = 512
    config.model.input_shift = -112.8666757481
    config.model.input_scale = 1 / 69.84780273
    config.model.likelihood.bits = 5
    config.optimizer.learning_rate = 1.5e-4
    config.optimizer.clip_norm = 130.0
    config.optimizer.skip_norm = 180.0
    return cifar10["tiny"](config) if arg == "tiny" else config
