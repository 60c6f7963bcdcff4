"""VDVAE (Child, arXiv 2011.10650) on FFHQ at 256x256 with 5 bits: 115M parameters, 66 stochastic layers.

    strata train --config configs/vdvae/ffhq256.py --workdir runs/vdvae_ffhq256 \\
        --config.data.path=data/ffhq256

The paper's hardware and time: 32 V100 GPUs, 2.5 weeks, one image a GPU.
Expected figure, the paper's and not ours: 0.61 bits per dimension with the authors' 5-bit likelihood, which
does not sum to one and flatters by up to 0.04; `--config.model.authors_low_bit=True` selects it. The
default is normalised.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

# By path, since a recipe is loaded by path and its folder need not be importable.
cifar10 = run_path(str(Path(__file__).with_name("cifar10.py")))


def get_config(arg: str = "") -> ConfigDict:
    """`:tiny` is a few steps of a small model on the photographs that ship with scikit-learn."""
    config = cifar10["get_config"]()
    config.num_steps, config.batch_size, config.ema = 1_700_000, 32, 0.999
    config.data.image_size = 256
    config.model.update(
        dict(
            enc_blocks="256x3,256d2,128x8,128d2,64x12,64d2,32x17,32d2,16x7,16d2,8x5,8d2,4x5,4d4,1x4",
            dec_blocks="1x2,4m1,4x3,8m4,8x4,16m8,16x9,32m16,32x21,64m32,64x13,128m64,128x7,256m128",
            width=512,
            image_size=256,
            input_shift=-112.8666757481,
            input_scale=1 / 69.84780273,
            bits=5,
        )
    )
    config.optimizer.update(dict(learning_rate=1.5e-4, clip_norm=130.0, skip_norm=180.0))
    return cifar10["tiny"](config) if arg == "tiny" else config
