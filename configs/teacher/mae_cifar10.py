"""A small stand-in for a frozen encoder: MAE (arXiv 2111.06377) on CIFAR-10, 1.1M parameters.

    strata train --config configs/teacher/mae_cifar10.py --workdir runs/teacher \\
        --config.data.path=data/cifar10_train
    strata export --workdir runs/teacher --out teacher/

It is no published encoder and no substitute for one: it exists so that losses which compare with
features of a frozen encoder can be tried within minutes on a CPU. Recipes read it with
`teacher = dict(name="mae", weights="teacher/")`, and cards call it a stand-in. 4x4 pixels are a
patch, so that an image of 32x32 has 8x8 features of 128 channels. Three quarters of the patches are
hidden. We have no figure to expect yet.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrower network for a few steps."""
    config = common["defaults"]()
    config.num_steps = 3_000
    config.batch_size = 128
    config.ema = 0.0
    config.step = "adversarial"

    config.data.source = "records"
    config.data.path = ""
    config.data.image_size = 32
    config.data.flip = True

    config.model.name = "masked_autoencoder.MaskedAutoencoder"
    config.model.image_size = 32
    config.model.patch = 4
    config.model.width = 128
    config.model.depth = 5
    config.model.heads = 4
    config.model.decoder_width = 64
    config.model.decoder_depth = 1
    config.model.decoder_heads = 2
    config.model.hidden = 0.75

    config.objective.l2 = dict(weight=1.0)

    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_steps = 200
    config.optimizer.decay = "cosine"
    config.optimizer.b2 = 0.95
    config.optimizer.weight_decay = 0.05

    config.checkpoint.every = 1_000
    config.eval.every = 0
    config.sample.every = 0
    config.eval.num_examples = 256
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU."""
    common["tiny"](config, batch_size=4)
    config.data.source = "sklearn_images"
    config.data.image_size = 16
    config.model.image_size = 16
    config.model.width = 16
    config.model.depth = 1
    config.model.heads = 2
    config.model.decoder_width = 8
    config.model.decoder_heads = 2
    config.optimizer.warmup_steps = 2
    return config
