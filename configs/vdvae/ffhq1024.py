"""VDVAE (arXiv 2011.10650) on FFHQ at 1024x1024: 109M parameters, 70 stochastic layers.

    strata train --config configs/vdvae/ffhq1024.py --workdir runs/vdvae_ffhq1024 \\
        --config.data.path=data/ffhq1024

The paper's hardware and time: 32 V100 GPUs, 2.5 weeks, one image per GPU.
Expected figure, the paper's and not ours: 2.42 bits per dimension.
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
    config.data.image_size = 1024
    config.model.image_size = 1024
    config.model.enc_blocks = (
        "1024x1,1024d2,512x3,512d2,256x5,256d2,128x7,128d2,64x10,64d2,32x14,32d2,16x7,16d2,8x5,8d2,"
        "4x5,4d4,1x4"
    )
    config.model.dec_blocks = (
        "1x2,4m1,4x3,8m4,8x4,16m8,16x9,32m16,32x20,64m32,64x14,128m64,128x7,256m128,256x2,512m256,"
        "1024m512"
    )
    config.model.custom_widths = "512:32,256:64,128:512,64:512,32:512,16:512,8:512,4:512,1:512"
    config.model.width = 16
    config.model.likelihood.num_mixtures = 2
    # The authors state -0.4387 and 1 / 0.2743 for pixels in 0 .. 1.
    config.model.input_shift = -0.4387 * 255
    config.model.input_scale = 1 / (0.2743 * 255)
    config.optimizer.learning_rate = 7e-5
    config.optimizer.clip_norm = 360.0
    config.optimizer.skip_norm = 500.0
    return cifar10["tiny"](config) if arg == "tiny" else config
