"""ResNet VAE with IAF (arXiv 1606.04934, section 5.2) on CIFAR-10: 2 scales of 10 layers.

    strata data pack CIFAR10_IMAGE_FOLDER --out data/cifar10
    strata train --config configs/iaf_vae/cifar10.py --workdir runs/iaf_vae_cifar10 \\
        --config.data.path=data/cifar10

The model has 42M parameters. The authors (Kingma et al.) train their best model on several GPUs.
Expected figure, the paper's and not ours: 3.11 bits per dimension on the test images.

Deviations: one discretised logistic per pixel, whose scales the network predicts and whose colours
depend on one another; Adam in place of Adamax; and the ones listed in pipeline/models/iaf_vae.py.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a small model on scikit-learn's photographs."""
    config = common["defaults"]()
    config.num_steps = 1_000_000
    config.batch_size = 16
    config.ema = 0.999

    config.data.source = "records"
    config.data.path = ""
    config.data.eval_path = ""
    config.data.image_size = 32
    config.data.eval_fraction = 0.1
    config.data.crop = "center"
    config.data.flip = False
    config.data.num_workers = 2

    config.model.name = "iaf_vae.IAFVAE"
    config.model.image_size = 32
    config.model.num_scales = 2
    config.model.blocks = 10
    config.model.width = 160
    config.model.zdim = 32
    config.model.flow_depth = 2
    config.model.likelihood = dict(name="logistic_mixture", num_mixtures=1)

    config.objective.distortion = dict(weight=1.0)
    # Nats per layer: the paper gives free bits to feature maps (eq. 15), we to stochastic layers.
    config.objective.free_bits = dict(minimum=3.2, weight=1.0)

    common["adamw"](config, learning_rate=2e-3, warmup_steps=1000)
    config.optimizer.decay = "constant"
    config.optimizer.clip_norm = 200.0

    config.checkpoint.every = 10_000
    config.eval.every = 10_000
    config.eval.num_examples = 5_000
    config.eval.batch_size = 16
    config.sample.every = 10_000
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU."""
    common["tiny"](config)
    config.ema = 0.9
    config.data.source = "sklearn_images"
    config.data.image_size = 16
    config.data.crop = "random"
    config.data.num_workers = 0
    config.model.image_size = 16
    config.model.num_scales = 2
    config.model.blocks = 1
    config.model.width = 8
    config.model.zdim = 2
    config.model.flow_depth = 1
    config.optimizer.warmup_steps = 2
    return config
