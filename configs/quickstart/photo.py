"""A small image codec, trained on a photograph of a church, for a photograph of a flower.

    strata train --config configs/quickstart/photo.py --workdir runs/quickstart/photo

The model has 509K parameters. It codes cells of 8x8 pixels (192 values) as 16 numbers, and learns
encoder and decoder together, with L1 alone. Both photographs ship with scikit-learn. Takes about a
minute on two CPU cores. A codec for all kinds of images needs more than one photograph.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains an even smaller network for a few steps."""
    config = common["defaults"]()
    config.num_steps = 500
    config.batch_size = 8
    config.ema = 0.98
    config.step = "adversarial"  # the step of codecs that are no density models

    config.data.source = "photographs"
    config.data.path = ""
    config.data.image_size = 64
    config.data.resize = "none"
    config.data.crop = "random"
    config.data.flip = True
    config.data.num_workers = 0

    config.model.name = "autoencoder.Autoencoder"
    config.model.image_size = 64
    config.model.latent_channels = 16
    network = dict(patch=4, channels=(48, 96), num_blocks=1)
    config.model.encoder = dict(name="patch_resnet.Encoder", **network)
    config.model.bottleneck = dict(name="identity.Identity")
    config.model.decoder = dict(name="patch_resnet.Decoder", **network)

    config.objective.l1 = dict(weight=1.0)
    config.objective.logvar = 0.0
    config.objective.rate = dict(weight=0.0)
    config.objective.adversarial = dict(weight=0.0)

    config.discriminator = ConfigDict()

    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup_steps = 50
    config.optimizer.decay = "cosine"
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.99
    config.optimizer.weight_decay = 0.0
    config.optimizer.clip_norm = 1.0

    config.mesh.fsdp = 1
    config.checkpoint.every = 250
    config.checkpoint.keep = 2
    config.eval.every = 500
    config.eval.num_examples = 1
    config.eval.batch_size = 1
    config.log.every = 20
    config.sample.every = 0
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU."""
    common["tiny"](config, batch_size=2)
    config.ema = 0.9
    config.data.image_size = 16
    config.model.image_size = 16
    config.model.latent_channels = 4
    for network in (config.model.encoder, config.model.decoder):
        network.channels = (8, 8)
    config.eval.num_examples = 1
    config.optimizer.warmup_steps = 2
    return config
