"""VAE-GAN (arXiv 1512.09300) on CIFAR-10: images are compared in the discriminator's features.

    strata train --config configs/vae_gan/cifar10.py --workdir runs/vae_gan \\
        --config.data.path=data/cifar10

The model has 2.9M parameters. The loss is the KL to 128 latents, half the squared distance of the
features of the discriminator's last hidden layer, and for the decoder alone the generator's loss,
on reconstructions and on images from the prior. The authors' code weights the distance by 1e-6 in
the decoder; here the generator's loss is weighted by its inverse, which Adam does not tell apart
from it. Batches of 64, and RMSProp with 3e-4, which is Adam without a first moment; 250 epochs as
in their code. One GPU, hours. The paper has no figure on CIFAR-10: look at samples.

Deviations: the networks are our plain VAE with the authors' widths and the discriminator of patches
with its norm of each example; the generator's loss is the non-saturating one; and the
discriminator's updates are never skipped, where the authors' code skips those of the network that
is ahead.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains narrow networks on scikit-learn's photographs."""
    config = common["defaults"]()
    config.num_steps = 195_000
    config.batch_size = 64
    config.ema = 0.999
    config.step = "vae_gan"

    config.data.source = "records"
    config.data.path = ""
    config.data.image_size = 32
    config.data.eval_fraction = 0.1
    config.data.crop = "center"
    config.data.flip = True
    config.data.num_workers = 2

    config.model.name = "vae.VAE"
    config.model.image_size = 32
    config.model.latent_dim = 128
    config.model.channels = (64, 128, 256)
    config.model.hidden = ()
    config.model.depth = 0
    # Only its mean is used, which stays in [-1, 1].
    config.model.likelihood = "bernoulli"

    config.objective.discriminator_features = dict(weight=1.0)
    config.objective.rate = dict(weight=1.0)
    config.objective.adversarial = ConfigDict()
    config.objective.adversarial.loss = "non_saturating"
    config.objective.adversarial.weight = 1e6
    config.objective.adversarial.adaptive = False
    config.objective.adversarial.start = 0

    config.discriminator = ConfigDict()
    config.discriminator.name = "patchgan.PatchGAN2D"
    config.discriminator.channels = 32
    config.discriminator.num_layers = 3

    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 3e-4
    config.optimizer.b1 = 0.0
    config.optimizer.b2 = 0.9
    config.optimizer.weight_decay = 0.0

    config.eval.num_examples = 5_000
    config.eval.batch_size = 50
    config.sample.num = 64
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
    config.model.latent_dim = 8
    config.model.channels = (4, 8)
    config.objective.adversarial.weight = 1.0
    config.discriminator.channels = 8
    config.discriminator.num_layers = 1
    return config
