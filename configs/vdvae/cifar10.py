"""VDVAE (Child, arXiv 2011.10650) on CIFAR-10: 39M parameters, 43 stochastic layers.

    strata data pack CIFAR10_IMAGE_FOLDER --out data/cifar10
    strata train --config configs/vdvae/cifar10.py --workdir runs/vdvae_cifar10 \\
        --config.data.path=data/cifar10

The paper's hardware and time: 2 GPUs, under a week, 650 thousand to 1.05 million steps. Expected
figure, the paper's and not ours: 2.87 bits per dimension on the test images (one-sample ELBO).
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a small model on scikit-learn's photographs."""
    config = common["defaults"]()
    config.num_steps = 1_000_000
    config.batch_size = 32
    config.ema = 0.9999

    # Like the authors, hold out a tenth of the training images, and do not augment.
    config.data.source = "records"
    config.data.path = ""
    config.data.eval_path = ""
    config.data.image_size = 32
    config.data.eval_fraction = 0.1
    config.data.crop = "center"
    config.data.flip = False
    config.data.num_workers = 2

    config.model.name = "vdvae.VDVAE"
    config.model.enc_blocks = "32x11,32d2,16x6,16d2,8x6,8d2,4x3,4d4,1x3"
    config.model.dec_blocks = "1x1,4m1,4x2,8m4,8x5,16m8,16x10,32m16,32x21"
    config.model.width = 384
    config.model.zdim = 16
    config.model.custom_widths = ""
    config.model.bottleneck_multiple = 0.25
    config.model.no_bias_above = 64
    config.model.image_size = 32
    config.model.input_shift = -120.63838
    config.model.input_scale = 1 / 64.16736
    config.model.likelihood = dict(name="logistic_mixture", num_mixtures=10, bits=8)
    config.model.remat = False

    config.objective.distortion = dict(weight=1.0)
    config.objective.rate = dict(weight=1.0)

    common["adamw"](config, learning_rate=2e-4, warmup_steps=100)
    config.optimizer.decay = "constant"
    config.optimizer.b2 = 0.9
    config.optimizer.weight_decay = 0.01
    config.optimizer.clip_norm = 200.0
    config.optimizer.skip_norm = 400.0

    config.checkpoint.every = 10_000
    config.eval.every = 10_000
    config.eval.num_examples = 5_000
    config.eval.batch_size = 32
    config.sample.every = 10_000
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink any VDVAE recipe to seconds on a CPU.

    All recipes of one bit depth become the same program, which is compiled only once.
    """
    common["tiny"](config)
    config.ema = 0.9
    config.data.source = "sklearn_images"
    config.data.image_size = 16
    config.data.crop = "random"
    config.data.num_workers = 0
    config.model.enc_blocks = "16d16,1x1"
    config.model.dec_blocks = "1x1,16m1"
    config.model.custom_widths = ""
    config.model.width = 16
    config.model.zdim = 4
    config.model.likelihood.num_mixtures = 2
    config.model.image_size = 16
    config.model.input_shift = -120.63838
    config.model.input_scale = 1 / 64.16736
    config.optimizer.learning_rate = 2e-4
    config.optimizer.warmup_steps = 2
    config.optimizer.clip_norm = 200.0
    config.optimizer.skip_norm = 400.0
    return config
