"""A VAE that is conditioned on the class by FiLM (arXiv 1709.07871), on CIFAR-10.

    strata data pack CIFAR10_IMAGE_FOLDER --out data/cifar10
    strata train --config configs/cvae/cifar10.py --workdir runs/cvae_cifar10 \\
        --config.data.path=data/cifar10
    strata sample --workdir runs/cvae_cifar10 --out cifar10.png --mean --num 80 \\
        --label 0,1,2,3,4,5,6,7,8,9

The model has 7.5M parameters: a convolutional VAE whose layers are scaled and shifted by an
embedding of the class. The folder has one folder per class, whose names give the numbers of the
classes in their order. A tenth of the labels are hidden in training, so that `--label -1` draws any
class. One GPU. There is no paper with this network, and we know of no figure to expect; samples of
a VAE of one latent vector are blurred.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on scikit-learn's digits."""
    config = common["defaults"]()
    config.num_steps = 100_000
    config.batch_size = 128
    config.ema = 0.999

    config.data.source = "records"
    config.data.path = ""
    config.data.eval_path = ""
    config.data.image_size = 32
    config.data.channels = 3
    config.data.eval_fraction = 0.1
    config.data.flip = True
    config.data.num_workers = 2

    config.model.name = "vae.VAE"
    config.model.image_size = 32
    config.model.image_channels = 3
    config.model.latent_dim = 128
    config.model.channels = (64, 128, 256)
    config.model.hidden = (512,)
    config.model.depth = 1
    config.model.likelihood = "discretized_gaussian"
    config.model.conditioning = ConfigDict()
    config.model.conditioning.name = "film.FiLM"
    config.model.conditioning.num_classes = 10
    config.model.conditioning.embedding = 64
    config.model.conditioning.label_dropout = 0.1

    config.objective.distortion = dict(weight=1.0)
    config.objective.rate = dict(weight=dict(name="linear", start=0.0, end=1.0, steps=2_000))

    common["adamw"](config, learning_rate=3e-4, warmup_steps=500)
    config.optimizer.weight_decay = 0.01

    config.eval.num_examples = 5_000
    config.eval.batch_size = 50
    config.sample.num = 40
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU."""
    common["tiny"](config)
    config.ema = 0.9
    config.data.source = "digits"
    config.data.image_size = 8
    config.data.num_workers = 0
    config.model.image_size = 8
    config.model.latent_dim = 4
    config.model.channels = (4, 8)
    config.model.hidden = (16,)
    config.model.depth = 0
    config.model.conditioning.embedding = 4
    config.objective.rate.weight.steps = 2
    config.optimizer.warmup_steps = 2
    return config
