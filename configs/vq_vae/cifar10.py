"""VQ-VAE (arXiv 1711.00937) on CIFAR-10: 695,491 parameters, 8x8 codes of 512 to an image.

    strata data pack CIFAR10_IMAGE_FOLDER --out data/cifar10
    strata train --config configs/vq_vae/cifar10.py --workdir runs/vq_vae_cifar10 \\
        --config.data.path=data/cifar10

An image becomes 64 indices of 9 bits, 576 bits. The network, the start of the codes, and the loss,
which is the mean squared error divided by the variance of the training images, are those of the
authors' Sonnet code; learning rate, batch size and number of steps are the paper's (section 4.1).
One GPU. Neither states a figure for reconstructions: check that codebook_perplexity does not fall
to a few codes.

Deviation: images are in [-1, 1] and not in [-0.5, 0.5]; the loss does not change with that scale.
configs/vq_vae/cifar10_ema.py has codes that are moving averages.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))

# Variance of CIFAR-10's training images, of values in [-1, 1].
VARIANCE = 0.2531


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on scikit-learn's photographs."""
    config = common["defaults"]()
    config.num_steps = 250_000
    config.batch_size = 128
    config.ema = 0.0
    config.step = "adversarial"

    config.data.source = "records"
    config.data.path = ""
    config.data.eval_path = ""
    config.data.image_size = 32
    config.data.eval_fraction = 0.1
    config.data.crop = "center"
    config.data.flip = False
    config.data.num_workers = 2

    config.model.name = "autoencoder.Autoencoder"
    config.model.image_size = 32
    config.model.latent_channels = 64
    config.model.encoder = dict(name="residual_stack.Encoder", width=128, hidden=32, depth=2)
    config.model.bottleneck = ConfigDict()
    config.model.bottleneck.name = "vq.VQ"
    config.model.bottleneck.num_codes = 512
    config.model.bottleneck.gradient = "straight_through"
    # Uniform with variance 1 / latent_channels.
    config.model.bottleneck.codebook = dict(name="learned.Learned", scale=(3 / 64) ** 0.5)
    config.model.decoder = dict(name="residual_stack.Decoder", width=128, hidden=32, depth=2)

    config.objective.l2 = dict(weight=1 / VARIANCE)
    config.objective.quantization = dict(weight=1.0, beta=0.25)

    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 2e-4
    config.optimizer.weight_decay = 0.0

    config.eval.num_examples = 5_000
    config.eval.batch_size = 50
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink a recipe of this network to seconds on a CPU."""
    common["tiny"](config)
    config.data.source = "sklearn_images"
    config.data.image_size = 16
    config.data.crop = "random"
    config.data.num_workers = 0
    config.model.image_size = 16
    for network in (config.model.encoder, config.model.decoder):
        network.width = 8
        network.hidden = 4
        network.depth = 1
    if "num_codes" in config.model.bottleneck:
        config.model.latent_channels = 4
        config.model.bottleneck.num_codes = 16
    return config
