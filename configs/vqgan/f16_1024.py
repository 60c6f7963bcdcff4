"""VQGAN (arXiv 2012.09841) of 1,024 codes: 72,141,699 parameters, 16x16 pixels to a code.

    strata train --config configs/vqgan/f16_1024.py --workdir runs/vqgan_f16_1024 \\
        --config.data.path=data/imagenet \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

An image of 256x256 becomes 16x16 indices of 10 bits. The loss is L1 + LPIPS + the loss of vector
quantization with beta on the codes, as in the authors' code (`quantization_swapped`; the paper's
eq. 4 is `quantization`), with a discriminator of patches from step 250,000 on. The optimizer is
Adam with the authors' rate of 4.5e-6 times the batch size. The file of VGG16 is torchvision's, and
the file of LPIPS's heads is the LPIPS authors'. Images smaller than 256 pixels are enlarged.

The recipes of this folder share this network and loss, with other widths, codes and starts of the
discriminator; `strata import --from diffusers` reads released weights of all of them.

Deviations: each step trains the autoencoder and the discriminator on the same batch, and the
discriminator normalises each example separately (--config.discriminator.norm=batch is what the
authors do). Batch size and number of steps are ours.

Expected figure on ImageNet's validation set at 256x256, the authors' and not ours: rFID 7.94.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network without a perceptual distance."""
    config = common["defaults"]()
    config.num_steps = 1_000_000
    config.batch_size = 24
    config.ema = 0.0
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
    config.model.latent_channels = 256
    config.model.quant_convs = True
    config.model.remat = False
    config.model.encoder = ConfigDict()
    config.model.encoder.name = "ldm.Encoder"
    config.model.encoder.channels = (128, 128, 256, 256, 512)
    config.model.encoder.num_blocks = 2
    config.model.encoder.attention = True
    config.model.encoder.attention_levels = (4,)
    config.model.encoder.groups = 32
    config.model.bottleneck = ConfigDict()
    config.model.bottleneck.name = "vq.VQ"
    config.model.bottleneck.num_codes = 1_024
    config.model.bottleneck.codebook = dict(name="learned.Learned")
    config.model.bottleneck.gradient = "straight_through"
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "ldm.Decoder"
    config.model.decoder.channels = (128, 128, 256, 256, 512)
    config.model.decoder.num_blocks = 3
    config.model.decoder.attention = True
    config.model.decoder.attention_levels = (4,)
    config.model.decoder.groups = 32

    config.objective.l1 = dict(weight=1.0)
    config.objective.perceptual = dict(weight=1.0, network="vgg16", weights="", heads="")
    config.objective.quantization_swapped = dict(weight=1.0, beta=0.25)
    config.objective.adversarial = ConfigDict()
    config.objective.adversarial.loss = "hinge"
    config.objective.adversarial.weight = 0.8
    config.objective.adversarial.start = 250_000
    config.objective.adversarial.adaptive = True
    # The authors' limit of 1e4 belongs to a loss that is a mean over the values of an image.
    config.objective.adversarial.max_weight = 1e4 * 3 * 256**2
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

    config.eval.num_examples = 1_000
    config.eval.batch_size = 24
    config.log.every = 50
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink every recipe of this folder to the same network, which is compiled only once.

    It has the middle of the encoder and the decoder, and no discriminator.
    """
    common["tiny"](config, batch_size=4)
    config.data.source = "sklearn_images"
    config.data.image_size = 16
    config.data.num_workers = 0
    config.model.image_size = 16
    config.model.latent_channels = 4
    for network in (config.model.encoder, config.model.decoder):
        network.channels = (8,)
        network.groups = 4
        network.num_blocks = 0
        network.attention = False
        network.attention_levels = ()
    config.model.bottleneck.num_codes = 16
    config.objective.perceptual.weight = 0.0
    config.objective.adversarial.weight = 0.8
    config.objective.adversarial.start = config.num_steps
    config.discriminator.channels = 8
    config.discriminator.num_layers = 1
    return config
