"""A small causal video codec, trained on clips over one photograph, for clips over another.

    strata train --config configs/quickstart/video.py --workdir runs/quickstart/video

The model has 1.1M parameters. It codes cells of 4 frames of 8x8 pixels (768 values) as 48 numbers.
Windows move over scikit-learn's photograph of a church, which is data that comes with a dependency;
evaluation moves over a flower. The loss is L1 alone. Takes about two minutes on two CPU cores.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains an even smaller network for a few steps."""
    config = common["defaults"]()
    config.num_steps = 650
    config.batch_size = 2
    config.ema = 0.98
    config.step = "adversarial"  # the step of codecs that are no density models

    config.data.source = "moving_photographs"
    config.data.path = ""
    config.data.image_size = 64
    config.data.num_frames = 9
    config.data.fps = 0
    config.data.stride = 1
    config.data.crop = "random"
    config.data.flip = True
    config.data.num_workers = 0

    config.model.name = "autoencoder.Autoencoder"
    config.model.image_size = 64
    config.model.num_frames = 9
    config.model.latent_channels = 48
    network = dict(patch=4, channels=(48, 96), num_blocks=1)
    config.model.encoder = dict(name="causal_patch_resnet.Encoder", **network)
    config.model.bottleneck = dict(name="identity.Identity")
    config.model.decoder = dict(name="causal_patch_resnet.Decoder", **network)

    config.objective.l1 = dict(weight=1.0)
    config.objective.logvar = 0.0
    config.objective.rate = dict(weight=0.0)
    config.objective.adversarial = dict(weight=0.0)

    config.discriminator = ConfigDict()

    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_steps = 50
    config.optimizer.decay = "cosine"
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.99
    config.optimizer.weight_decay = 0.0
    config.optimizer.clip_norm = 1.0

    config.mesh.fsdp = 1
    config.checkpoint.every = 250
    config.checkpoint.keep = 2
    config.eval.every = 650
    config.eval.num_examples = 16
    config.eval.batch_size = 4
    config.log.every = 20
    config.sample.every = 0
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU."""
    common["tiny"](config, batch_size=2)
    config.ema = 0.9
    config.data.image_size = 16
    config.data.num_frames = 5
    config.model.image_size = 16
    config.model.num_frames = 5
    config.model.latent_channels = 4
    for network in (config.model.encoder, config.model.decoder):
        network.channels = (8, 8)
    config.optimizer.warmup_steps = 2
    return config
