"""ViT-VQGAN S (arXiv 2110.04627): 50,908,195 parameters, 8x8 pixels to one of 8,192 codes.

    strata train --config configs/vit_vqgan/s.py --workdir runs/vit_vqgan_s \\
        --config.data.path=data/imagenet \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

An image of 256x256 becomes 32x32 indices of 13 bits. Vectors and codes of 32 numbers are scaled to
length 1. The loss is the squared error, 0.1 LPIPS, 0.1 of a discriminator, and the loss of vector
quantization. The authors train for 500,000 steps of 256 images on 128 TPU v4, and released no code;
the network is that of the only public one (enhancing-transformers). We know of no figure to expect
of this size: the paper's figures are those of larger ones.

Deviations: the discriminator is a PatchGAN and not StyleGAN2's, with the paper's R1; the
logit-Laplace term of the paper, with the weight 0.1, is left out.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network without a perceptual distance."""
    config = common["defaults"]()
    config.num_steps = 500_000
    config.batch_size = 256
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
    config.model.latent_channels = 32
    config.model.remat = False
    config.model.encoder = ConfigDict()
    config.model.encoder.name = "vit.Encoder"
    config.model.encoder.width = 512
    config.model.encoder.depth = 8
    config.model.encoder.heads = 8
    config.model.encoder.hidden = 2_048
    config.model.encoder.patch = 8
    config.model.bottleneck = ConfigDict()
    config.model.bottleneck.name = "cosine_vq.CosineVQ"
    config.model.bottleneck.num_codes = 8_192
    config.model.bottleneck.codebook = dict(name="learned.Learned", start="normal")
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "vit.Decoder"
    config.model.decoder.width = 512
    config.model.decoder.depth = 8
    config.model.decoder.heads = 8
    config.model.decoder.hidden = 2_048
    config.model.decoder.patch = 8

    config.objective.l2 = dict(weight=1.0)
    config.objective.perceptual = dict(weight=0.1, network="vgg16", weights="", heads="")
    config.objective.quantization = dict(weight=1.0, beta=0.25)
    config.objective.adversarial = ConfigDict()
    config.objective.adversarial.loss = "non_saturating"
    # The other terms are means over the values of an image, and this weight is divided by them.
    config.objective.adversarial.weight = 0.1 * 3 * 256**2
    config.objective.adversarial.adaptive = False
    config.objective.adversarial.start = 0
    config.objective.adversarial.r1 = 10.0
    config.objective.adversarial.r1_every = 16

    config.discriminator = ConfigDict()
    config.discriminator.name = "patchgan.PatchGAN2D"
    config.discriminator.channels = 64
    config.discriminator.num_layers = 3

    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1e-4
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.99
    config.optimizer.weight_decay = 1e-4

    config.eval.num_examples = 1_000
    config.eval.batch_size = 32
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink both sizes to the same network, without R1."""
    common["tiny"](config, batch_size=4)
    config.data.source = "sklearn_images"
    config.data.image_size = 16
    config.data.num_workers = 0
    config.model.image_size = 16
    config.model.latent_channels = 4
    for network in (config.model.encoder, config.model.decoder):
        network.width = 8
        network.depth = 1
        network.heads = 2
        network.hidden = 16
    config.model.bottleneck.num_codes = 16
    config.objective.perceptual.weight = 0.0
    config.objective.adversarial.weight = 0.1
    config.objective.adversarial.start = 2
    config.objective.adversarial.r1 = 0.0
    config.discriminator.channels = 8
    config.discriminator.num_layers = 1
    return config
