"""MAETok B-128 (arXiv 2502.03444): 172,072,736 parameters, an image of 256x256 to 128 tokens.

    strata train --config configs/maetok/b128.py --workdir runs/maetok_b128 \\
        --config.data.path=data/imagenet \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

An autoencoder of 128 tokens of 32 numbers, without a posterior. In training 40 to 60% of an image's
patches are hidden from the encoder, most often 60%. It has 590,592 parameters less than the
authors' network, whose decoder has an embedding of patches that it does not use.

The optimizer, the discriminator's start and weight, and 50 epochs of ImageNet in batches of 256 are
the authors' for the related SoftVQ. Deviations: auxiliary decoders, which predict features of
hidden patches, are left out, since the weights of their losses are not published; `:tiny` has one,
and config.model.auxiliary and config.objective.masked_prediction add them. The authors'
discriminator judges frozen features of DINO, and ours is the one of patches. The share of hidden
patches is drawn for each example, and not once for a batch.

Expected figure on ImageNet's validation set at 256x256, the authors' and not ours: rFID 0.48.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))
EPOCH = 1_281_167 // 256  # steps for all of ImageNet


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` has one block on either side and an auxiliary decoder."""
    config = common["defaults"]()
    config.num_steps = 50 * EPOCH
    config.batch_size = 256
    config.dtype = "bfloat16"
    config.ema = 0.9999
    config.step = "adversarial"

    config.data.source = "folder"
    config.data.path = ""
    config.data.image_size = 256
    config.data.resize = "fit"
    config.data.crop = "random"
    config.data.flip = True
    config.data.num_workers = 16

    config.model.name = "titok.MAETok"
    config.model.image_size = 256
    config.model.patch = 16
    config.model.num_tokens = 128
    config.model.latent_channels = 32
    config.model.encoder_size = dict(width=768, depth=12, heads=12)
    config.model.decoder_size = dict(width=768, depth=12, heads=12)
    config.model.bottleneck = ConfigDict(dict(name="identity.Identity"))
    config.model.auxiliary = ConfigDict()
    config.model.mask_lowest = 0.4
    config.model.mask_highest = 0.6
    config.model.mask_deviation = 0.25

    config.objective.l2 = dict(weight=1.0)
    config.objective.perceptual = dict(weight=1.0, network="vgg16", weights="", heads="")
    config.objective.adversarial = ConfigDict()
    config.objective.adversarial.loss = "hinge"
    # The other terms are means over the values of an image, and this weight is divided by them.
    config.objective.adversarial.weight = 0.2 * 3 * 256**2
    config.objective.adversarial.adaptive = False
    config.objective.adversarial.start = 20_000
    config.objective.adversarial.lecam = 0.001

    config.discriminator = ConfigDict()
    config.discriminator.name = "patchgan.PatchGAN2D"
    config.discriminator.channels = 64
    config.discriminator.num_layers = 3

    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1e-4
    config.optimizer.warmup_steps = 5_000
    config.optimizer.decay = "cosine"
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.95
    config.optimizer.weight_decay = 1e-4
    config.optimizer.clip_norm = 1.0

    config.eval.num_examples = 1_000
    config.eval.batch_size = 32
    if arg == "tiny":
        config = tiny(config)
        config.model.auxiliary.hog = dict(width=8, depth=1, heads=2, channels=108)
        config.objective.masked_prediction = dict(weight=1.0)
    return config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink all sizes, without a discriminator."""
    common["tiny"](config, batch_size=4)
    config.dtype = "float32"
    config.ema = 0.9
    config.data.source = "sklearn_images"
    config.data.image_size = 16
    config.data.num_workers = 0
    config.model.image_size = 16
    config.model.patch = 4
    config.model.num_tokens = 4
    config.model.latent_channels = 4
    config.model.encoder_size = dict(width=16, depth=1, heads=2)
    config.model.decoder_size = dict(width=16, depth=1, heads=2)
    config.objective.perceptual.weight = 0.0
    config.objective.adversarial.weight = 0.1
    config.objective.adversarial.start = config.num_steps
    config.discriminator.channels = 8
    config.discriminator.num_layers = 1
    config.optimizer.warmup_steps = 2
    return config
