"""A small VDVAE (arXiv 2011.10650) on scikit-learn's 8x8 handwritten digits.

    strata train --config configs/quickstart/digits.py --workdir runs/quickstart/digits

The model has 173K parameters. The digits have 17 grey levels. 16 of them (4 bits) are kept, and
every pixel has a distribution over these 16, so that the bits per dimension are the length of a
code. A uniform distribution has 4. Each stochastic layer gets 2 nats for free: without, the layers
at 1x1, which decide what digit it is, are not used. Takes about two minutes on two CPU cores.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a much smaller model for a few steps, for tests."""
    config = common["defaults"]()
    config.num_steps = 1_500
    config.batch_size = 64
    config.ema = 0.98

    config.data.source = "digits"
    config.data.path = ""
    config.data.image_size = 8
    config.data.channels = 1
    config.data.bits = 4
    config.data.eval_fraction = 0.1
    config.data.num_workers = 0

    config.model.name = "vdvae.VDVAE"
    config.model.enc_blocks = "8x1,8d2,4x1,4d2,2x1,2d2,1x1"
    config.model.dec_blocks = "1x2,2m1,2x2,4m2,4x2,8m4"
    config.model.width = 64
    config.model.zdim = 8
    config.model.likelihood = dict(name="categorical", bits=4)
    config.model.image_size = 8
    config.model.image_channels = 1
    config.model.input_shift = -78.0
    config.model.input_scale = 1 / 96.0

    config.objective.distortion = dict(weight=1.0)
    config.objective.free_bits = dict(weight=1.0, minimum=2.0)

    common["adamw"](config, learning_rate=6e-3, warmup_steps=50)
    config.optimizer.b2 = 0.9
    config.optimizer.weight_decay = 0.01
    config.optimizer.clip_norm = 200.0
    config.optimizer.skip_norm = 400.0

    config.mesh.fsdp = 1
    config.checkpoint.every = 250
    config.checkpoint.keep = 2
    config.eval.every = 1_500
    config.eval.num_examples = 179
    config.eval.batch_size = 64
    config.log.every = 20
    config.sample.every = 0
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU."""
    common["tiny"](config)
    config.ema = 0.9
    config.model.enc_blocks = "8d8,1x1"
    config.model.dec_blocks = "1x1,8m1"
    config.model.width = 16
    config.model.zdim = 4
    config.optimizer.warmup_steps = 2
    return config
