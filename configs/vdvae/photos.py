"""A small VDVAE (arXiv 2011.10650) on crops of the two photographs that ship with scikit-learn.

    strata train --config configs/vdvae/photos.py --workdir runs/vdvae_photos

The model has 413K parameters. Takes a few minutes on two CPU cores. docs/benchmarks/hierarchies.md
lists its figures.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))
cifar10 = run_path(str(Path(__file__).with_name("cifar10.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a much smaller model for a few steps."""
    config = common["defaults"]()
    config.num_steps = 600
    config.batch_size = 16
    config.ema = 0.99

    config.data.source = "sklearn_images"
    config.data.path = ""
    config.data.image_size = 32
    config.data.crop = "random"
    config.data.flip = True
    config.data.num_workers = 0

    config.model.name = "vdvae.VDVAE"
    config.model.enc_blocks = "32x2,32d2,16x2,16d2,8x2,8d2,4x1,4d4,1x1"
    config.model.dec_blocks = "1x1,4m1,4x1,8m4,8x2,16m8,16x2,32m16,32x2"
    config.model.width = 64
    config.model.zdim = 8
    config.model.likelihood = dict(name="logistic_mixture", num_mixtures=5)
    config.model.image_size = 32
    config.model.input_shift = -112.0
    config.model.input_scale = 1 / 70.0

    config.objective.distortion = dict(weight=1.0)
    config.objective.rate = dict(weight=1.0)

    common["adamw"](config, learning_rate=1e-3, warmup_steps=50)
    config.optimizer.b2 = 0.9
    config.optimizer.weight_decay = 0.01
    config.optimizer.clip_norm = 200.0
    config.optimizer.skip_norm = 400.0

    config.mesh.fsdp = 1
    config.checkpoint.every = 200
    config.checkpoint.keep = 2
    config.eval.every = 300
    config.eval.num_examples = 128
    config.log.every = 20
    config.sample.every = 300
    return cifar10["tiny"](config) if arg == "tiny" else config
