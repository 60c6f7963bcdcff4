"""RAE on DINOv2-B (arXiv 2510.11690): 501,638,656 parameters, 256x256 pixels to 16x16x768.

    strata train --config configs/rae/dinov2_b.py --workdir runs/rae \\
        --config.data.path=data/imagenet \\
        --config.init.encoder=dinov2_vitb14_reg4_pretrain.pth \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

Latents are the features of a frozen DINOv2 with registers, 86,582,016 parameters, after a norm
without scale and shift. The decoder, a transformer of 415,056,640 parameters, is trained with the
L1 error, LPIPS and a discriminator; in training it decodes latents with noise, whose deviation is
uniform in 0 to 0.8 for each example. The authors train for 16 epochs of ImageNet with batches of
512, and report rFID 0.57 for this decoder (a figure of the paper, not ours; PSNR is about 19).
`strata export --stats` measures the statistics of latents, by which codec.normalize divides.

Deviations: the discriminator is a PatchGAN, and the authors' is on features of a frozen DINO; it
starts after the epochs at which theirs does.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))
_EPOCH = 1_281_167 // 512  # steps


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains on the features of an untrained encoder, as a test."""
    config = common["defaults"]()
    config.num_steps = 16 * _EPOCH
    config.batch_size = 512
    config.ema = 0.9978
    config.step = "adversarial"
    config.dtype = "bfloat16"
    config.trainable = "decoder"
    config.init = dict(encoder="")
    config.regularizers = dict(noise=dict(highest=0.8))

    config.data.source = "folder"
    config.data.path = ""
    config.data.image_size = 256
    config.data.resize = "fit"
    config.data.crop = "random"
    config.data.flip = True
    config.data.num_workers = 16

    config.model.name = "autoencoder.Autoencoder"
    config.model.image_size = 256
    config.model.latent_channels = 768
    config.model.remat = True
    config.model.encoder = ConfigDict()
    config.model.encoder.name = "rae.Encoder"
    config.model.encoder.family = "dinov2"
    config.model.encoder.network = ConfigDict()
    config.model.encoder.network.width = 768
    config.model.encoder.network.depth = 12
    config.model.encoder.network.heads = 12
    config.model.encoder.network.hidden = 3_072
    config.model.encoder.network.patch = 14
    config.model.encoder.network.side = 37
    config.model.encoder.network.affine = False
    config.model.encoder.network.registers = 4
    config.model.encoder.network.masks = True
    config.model.encoder.factor = 16
    config.model.bottleneck = dict(name="identity.Identity")
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "rae.Decoder"
    config.model.decoder.width = 1_152
    config.model.decoder.depth = 28
    config.model.decoder.heads = 16
    config.model.decoder.hidden = 4_096
    config.model.decoder.patch = 16

    config.objective.l1 = dict(weight=1.0)
    config.objective.perceptual = dict(weight=1.0, network="vgg16", weights="", heads="")
    config.objective.adversarial = ConfigDict()
    config.objective.adversarial.loss = "hinge"
    config.objective.adversarial.weight = 0.75
    config.objective.adversarial.adaptive = True
    config.objective.adversarial.start = 8 * _EPOCH

    config.discriminator = ConfigDict()
    config.discriminator.name = "patchgan.PatchGAN2D"
    config.discriminator.channels = 64
    config.discriminator.num_layers = 3

    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 2e-4
    config.optimizer.warmup_steps = _EPOCH
    config.optimizer.decay = "cosine"
    config.optimizer.final_learning_rate = 2e-5
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.95
    config.optimizer.weight_decay = 0.0

    config.eval.num_examples = 1_000
    config.eval.batch_size = 32
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink both networks and the images, without a perceptual distance."""
    common["tiny"](config, batch_size=4)
    config.dtype = "float32"
    config.init.encoder = "untrained"
    config.data.source = "sklearn_images"
    config.data.image_size = 16
    config.data.num_workers = 0
    config.model.image_size = 16
    config.model.latent_channels = 16
    config.model.remat = False
    network = config.model.encoder.network
    network.width = 16
    network.depth = 1
    network.heads = 2
    network.hidden = 16
    network.patch = 2
    network.side = 3
    config.model.encoder.factor = 4
    config.model.decoder.width = 16
    config.model.decoder.depth = 1
    config.model.decoder.heads = 2
    config.model.decoder.hidden = 16
    config.model.decoder.patch = 4
    config.objective.perceptual.weight = 0.0
    config.objective.adversarial.start = 2
    config.optimizer.warmup_steps = 2
    config.discriminator.channels = 8
    config.discriminator.num_layers = 1
    return config
