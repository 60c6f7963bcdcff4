"""Fine-tune the decoder of any image codec on your images; its latents stay as they are.

    strata train --config configs/finetune/decoder_image.py --workdir runs/mine \\
        --config.init.codec=codec/ --config.data.path=photos/ \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth
    strata export --workdir runs/mine --out mine/

The model and its first weights are those of the codec, a folder that `strata export` or `strata
import` wrote. The encoder is frozen (config.trainable): it costs one forward pass, and no gradient,
optimizer state or EMA. The exported card says that the latents are unchanged. The loss is L1 plus
a perceptual distance, and from step 1,000 on a discriminator. It takes crops of 256x256: one GPU
with 16 GB, some hours. docs/benchmarks/finetune.md has our figures.

The settings are ours: the learning rate is a tenth of what TAESD trains with, and the posterior's
mode is decoded, without noise, as codecs are used (objective.rate has the weight 0).
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains the decoder of a new, narrow TAESD without features."""
    config = common["defaults"]()
    config.num_steps = 20_000
    config.batch_size = 8
    config.ema = 0.999
    config.step = "adversarial"
    config.trainable = "decoder"
    config.init = dict(codec="")

    config.data.source = "folder"
    config.data.path = ""
    config.data.image_size = 256
    config.data.resize = "fit"
    config.data.crop = "random"
    config.data.flip = True
    config.data.num_workers = 8

    config.objective.l1 = dict(weight=1.0)
    config.objective.perceptual = dict(weight=1.0, network="vgg16", weights="", heads="")
    config.objective.rate = dict(weight=0.0)
    config.objective.adversarial = ConfigDict()
    config.objective.adversarial.loss = "hinge"
    config.objective.adversarial.weight = 0.1
    config.objective.adversarial.start = 1_000
    config.objective.adversarial.adaptive = True
    config.objective.adversarial.max_weight = 1e4
    config.objective.adversarial.eps = 1e-4

    config.discriminator = ConfigDict()
    config.discriminator.name = "patchgan.PatchGAN2D"
    config.discriminator.channels = 64
    config.discriminator.num_layers = 3

    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 3e-5
    config.optimizer.warmup_steps = 500
    config.optimizer.decay = "cosine"
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.99
    config.optimizer.eps = 1e-8
    config.optimizer.clip_norm = 1.0
    config.discriminator.optimizer = dict(learning_rate=1e-4, b1=0.5, clip_norm=0.0)

    config.checkpoint.every = 1_000
    config.eval.every = 1_000
    config.eval.num_examples = 256
    config.eval.batch_size = 8
    config.sample.every = 1_000
    config.sample.num = 8
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU; without config.init.codec, the model is given here."""
    common["tiny"](config, batch_size=4)
    config.ema = 0.9
    config.data.source = "sklearn_images"
    config.data.image_size = 16
    config.data.num_workers = 0
    config.model.name = "autoencoder.Autoencoder"
    config.model.image_size = 16
    config.model.latent_channels = 4
    config.model.encoder = dict(name="taesd.Encoder", width=8, num_blocks=1)
    config.model.bottleneck = dict(name="identity.Identity")
    config.model.decoder = dict(name="taesd.Decoder", width=8, num_blocks=1)
    config.objective.perceptual.weight = 0.0
    config.objective.adversarial.start = 2
    config.discriminator.channels = 8
    config.discriminator.num_layers = 1
    config.optimizer.warmup_steps = 2
    return config
