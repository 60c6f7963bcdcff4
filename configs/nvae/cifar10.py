"""NVAE (Vahdat and Kautz, arXiv 2007.03898) on CIFAR-10: 131M parameters, 30 groups of latents.

    strata data pack CIFAR10_IMAGE_FOLDER --out data/cifar10
    strata train --config configs/nvae/cifar10.py --workdir runs/nvae_cifar10 \\
        --config.data.path=data/cifar10 --config.data.eval_path=data/cifar10_test

The paper's hardware and time: 8 V100 GPUs of 16 GB, 32 images each, 55 hours for 400 epochs.
Expected figure, the paper's and not ours: 2.91 bits per dimension on the test images
(importance-weighted bound).

All settings are the authors'. Their loss is in nats of an image (objective.unit), which eps and l2
are relative to. Their half-precision scaling and their averaging of parameters between GPUs have no
counterpart here.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a small model on scikit-learn's photographs."""
    config = common["defaults"]()
    config.seed = 1
    config.ema = 0.0

    config.data.source = "records"
    config.data.path = ""
    config.data.eval_path = ""
    config.data.image_size = 32
    config.data.eval_fraction = 0.05
    config.data.crop = "center"
    config.data.flip = True
    config.data.num_workers = 2

    config.model.name = "nvae.NVAE"
    config.model.image_size = 32
    config.model.image_channels = 3
    config.model.channels = 128
    config.model.groups = (30,)
    config.model.latent_dim = 20
    config.model.cells = 2
    config.model.blocks = (2,)
    config.model.num_flows = 1
    config.model.likelihood = dict(name="logistic_mixture", num_mixtures=10, bits=8)
    config.model.padding = 0
    config.model.remat = False

    config.optimizer.name = "adamax"
    config.optimizer.learning_rate = 1e-2
    config.optimizer.decay = "cosine"
    config.optimizer.final_learning_rate = 1e-4
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.999
    config.optimizer.eps = 1e-3
    config.optimizer.l2 = 3e-4
    config.optimizer.clip_norm = 0.0
    config.optimizer.skip_norm = 0.0
    config.optimizer.max_skips = 50

    config.eval.num_examples = 5_000
    config.eval.batch_size = 256
    schedule(config, examples=50_000, batch_size=256, epochs=400, spectral=1e-2)
    return tiny(config) if arg == "tiny" else config


def schedule(
    config: ConfigDict,
    *,
    examples: int,
    batch_size: int,
    epochs: int,
    spectral: float,
    spectral_start: float | None = None,
    warmup_epochs: int = 5,
) -> None:
    """Set the number of steps from `epochs`, and the settings that depend on it.

    beta grows linearly from 1e-4 over the first 30% of the steps, and the KL of the groups is
    balanced meanwhile. Over the same steps the weight of the spectral norms changes geometrically
    from `spectral_start`, if given, to `spectral`.
    """
    epoch = examples // batch_size
    config.batch_size = batch_size
    config.num_steps = epochs * epoch
    config.optimizer.warmup_steps = warmup_epochs * epoch

    rising = dict(steps=round(0.3 * config.num_steps), begin=round(1e-4 * config.num_steps))
    config.objective = ConfigDict()
    config.objective.unit = "image"
    config.objective.distortion = dict(weight=1.0)
    config.objective.balanced_rate = ConfigDict()
    config.objective.balanced_rate.weight = dict(name="linear", start=1e-4, end=1.0, **rising)
    config.objective.spectral = dict(weight=spectral)
    if spectral_start is not None:
        decay = dict(name="geometric", start=spectral_start, end=spectral, **rising)
        config.objective.spectral = dict(weight=decay)


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink any NVAE recipe to seconds on a CPU.

    All recipes on colour images become the same program, which is compiled only once.
    """
    common["tiny"](config)
    config.data.source = "sklearn_images"
    config.data.image_size = 8
    config.data.crop = "random"
    config.data.num_workers = 0
    config.model.image_size = 8
    config.model.channels = 4
    config.model.groups = (1, 1)
    config.model.latent_dim = 2
    config.model.cells = 1
    config.model.blocks = ()
    config.model.padding = 0
    config.objective = ConfigDict()
    config.objective.unit = "image"
    config.objective.distortion = dict(weight=1.0)
    config.objective.balanced_rate = ConfigDict()
    config.objective.balanced_rate.weight = dict(
        name="linear", start=1e-4, end=1.0, begin=0, steps=2
    )
    config.objective.spectral = dict(weight=1e-2)
    config.optimizer.learning_rate = 1e-2
    config.optimizer.warmup_steps = 2
    if config.model.num_flows:  # colour images
        config.model.num_flows = 1
        config.model.likelihood.bits = 8
        config.data.bits = 8
    return config
