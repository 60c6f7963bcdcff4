"""Stable Diffusion's autoencoder (arXiv 2112.10752): 83.7M parameters, 8x8 pixels to 4 numbers.

    strata train --config configs/kl_f8/sd.py --workdir runs/kl_f8_sd \\
        --config.data.path=data/imagenet \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The loss is L1 + LPIPS + 1e-6 KL, with a discriminator of patches from step 50,000 on. The optimizer
is Adam with the authors' rate of 4.5e-6, which their trainer multiplies by the batch size. The file
of VGG16 is torchvision's, and the file of LPIPS's heads is the LPIPS authors'. Images smaller than
256 pixels are enlarged.

Deviations: each step trains the autoencoder and the discriminator on the same batch, and the
discriminator normalises each example separately (--config.discriminator.norm=batch is what the
authors do). The paper gives neither the hardware nor the number of steps of this model.

Expected figures on ImageNet's validation set at 256x256, the authors' and not ours: PSNR 24.19 dB,
rFID 0.90. To import their released weights: strata import --from diffusers DIR --out CODEC.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network without a perceptual distance."""
    config = common["defaults"]()
    config.num_steps = 250_000
    config.batch_size = 24
    config.ema = 0.999
    config.step = "adversarial"

    config.data.source = "folder"
    config.data.path = ""
    config.data.image_size = 256
    config.data.resize = "fit"
    config.data.crop = "random"
    config.data.flip = True
    config.data.num_workers = 16

    config.model.name = "autoencoder.Autoencoder"
    config.model.image_size = 256
    config.model.latent_channels = 4
    config.model.quant_convs = True
    config.model.remat = False
    config.model.encoder = ConfigDict()
    config.model.encoder.name = "ldm.Encoder"
    config.model.encoder.channels = (128, 256, 512, 512)
    config.model.encoder.num_blocks = 2
    config.model.encoder.groups = 32
    config.model.bottleneck = dict(name="gaussian.Gaussian")
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "ldm.Decoder"
    config.model.decoder.channels = (128, 256, 512, 512)
    config.model.decoder.num_blocks = 3
    config.model.decoder.groups = 32

    config.objective.l1 = dict(weight=1.0)
    config.objective.logvar = 0.0
    config.objective.perceptual = dict(weight=1.0, network="vgg16", weights="", heads="")
    config.objective.rate = dict(weight=1e-6)
    config.objective.adversarial = ConfigDict()
    config.objective.adversarial.loss = "hinge"
    config.objective.adversarial.weight = 0.5
    config.objective.adversarial.start = 50_000
    config.objective.adversarial.adaptive = True
    config.objective.adversarial.max_weight = 1e4
    config.objective.adversarial.eps = 1e-4

    config.discriminator = ConfigDict()
    config.discriminator.name = "patchgan.PatchGAN2D"
    config.discriminator.channels = 64
    config.discriminator.num_layers = 3

    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 24 * 4.5e-6
    config.optimizer.b1 = 0.5
    config.optimizer.b2 = 0.9
    config.optimizer.weight_decay = 0.0
    # The authors' eps of 1e-8 belongs to a loss that is a sum over an image. Our loss is divided by
    # the number of values in an image, and so is its eps; the discriminator's loss is not divided.
    config.optimizer.eps = 1e-8 / (3 * 256**2)
    config.discriminator.optimizer = dict(eps=1e-8)

    config.eval.num_examples = 1_000
    config.eval.batch_size = 24
    config.log.every = 50
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe of an image codec: two steps without the discriminator and two with it."""
    common["tiny"](config, batch_size=4)
    config.ema = 0.9
    config.data.source = "sklearn_images"
    config.data.image_size = 16
    config.data.num_workers = 0
    config.model.image_size = 16
    if config.model.encoder.name == "ldm.Encoder":
        for network in (config.model.encoder, config.model.decoder):
            network.channels = (8, 16)
            network.groups = 4
            network.num_blocks = 1
    else:  # TAESD
        for network in (config.model.encoder, config.model.decoder):
            network.width = 8
            network.num_blocks = 1
    config.objective.perceptual.weight = 0.0
    config.objective.adversarial.start = 2
    config.discriminator.channels = 8
    config.discriminator.num_layers = 1
    return config
