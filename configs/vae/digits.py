"""A plain VAE (arXiv 1312.6114) on scikit-learn's 8x8 digits: no download, a minute on one core.

    strata train --config configs/vae/digits.py --workdir runs/vae_digits

The model has 217K parameters. The digits have 17 grey levels. 16 of them (4 bits) are kept, and
every pixel has a distribution over these 16, so that the bits per dimension are the length of a
code. A uniform distribution has 4.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrower network for a few steps."""
    config = common["defaults"]()
    config.num_steps = 3_000
    config.batch_size = 64
    config.ema = 0.995

    config.data.source = "digits"
    config.data.path = ""
    config.data.image_size = 8
    config.data.channels = 1
    config.data.bits = 4
    config.data.eval_fraction = 0.1
    config.data.num_workers = 0

    config.model.name = "vae.VAE"
    config.model.image_size = 8
    config.model.image_channels = 1
    config.model.latent_dim = 8
    config.model.channels = (32, 64)
    config.model.hidden = (128,)
    config.model.depth = 1
    config.model.likelihood = dict(name="categorical", bits=4)

    config.objective.distortion = dict(weight=1.0)
    config.objective.rate = dict(weight=1.0)

    common["adamw"](config, learning_rate=1e-3, warmup_steps=100)
    config.optimizer.weight_decay = 0.01

    config.mesh.fsdp = 1
    config.checkpoint.every = 1_000
    config.checkpoint.keep = 2
    config.eval.every = 500
    config.eval.num_examples = 179
    config.eval.batch_size = 64
    config.sample.every = 1_000
    config.sample.num = 64
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU."""
    common["tiny"](config)
    config.ema = 0.9
    config.model.channels = (4, 8)
    config.model.hidden = (16,)
    config.model.depth = 0
    config.optimizer.warmup_steps = 2
    return config
