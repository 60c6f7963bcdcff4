"""Training settings of published video codecs, whose authors keep their own to themselves.

They are ours: what the papers of this field that do publish theirs agree on. Recipes load this file
by path, as they do configs/common.py.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).with_name("common.py")))


def defaults(*, image_size: int = 256, num_frames: int = 17) -> ConfigDict:
    """Return a recipe without a model: L1, perceptual distance, KL, and a discriminator of clips
    from step 50,000 on.
    """
    config = common["defaults"]()
    config.num_steps = 300_000
    config.batch_size = 8
    config.dtype = "bfloat16"
    config.ema = 0.999
    config.step = "adversarial"

    config.data.source = "videos"
    config.data.path = ""
    config.data.image_size = image_size
    config.data.num_frames = num_frames
    config.data.fps = 0
    config.data.stride = 1
    config.data.short = "repeat"
    config.data.resize = "fit"
    config.data.crop = "random"
    config.data.flip = True
    config.data.num_workers = 16
    config.data.max_unreadable = 5_000

    config.model.name = "autoencoder.Autoencoder"
    config.model.image_size = image_size
    config.model.num_frames = num_frames
    config.model.remat = True

    config.objective.l1 = dict(weight=1.0)
    config.objective.logvar = 0.0
    config.objective.per_frame = True
    config.objective.perceptual = dict(weight=1.0, network="vgg16", weights="", heads="")
    config.objective.rate = dict(weight=1e-6)
    config.objective.adversarial = ConfigDict()
    config.objective.adversarial.loss = "hinge"
    config.objective.adversarial.weight = 0.5
    config.objective.adversarial.start = 50_000
    config.objective.adversarial.adaptive = True
    config.objective.adversarial.max_weight = 1e4

    config.discriminator = ConfigDict()
    config.discriminator.name = "patchgan.PatchGAN3D"
    config.discriminator.channels = 64
    config.discriminator.num_layers = 3

    common["adamw"](config, learning_rate=5e-5, warmup_steps=1_000)
    config.optimizer.decay = "constant"
    config.discriminator.optimizer = dict(config.optimizer)

    config.eval.num_examples = 64
    config.eval.batch_size = 8
    config.log.every = 50
    config.sample.num = 4
    return config


def tiny(config: ConfigDict, *, image_size: int = 16, num_frames: int = 5) -> ConfigDict:
    """Shrink a run, but not the widths of its model, to two steps without a discriminator and two
    with one.
    """
    common["tiny"](config, batch_size=2)
    config.dtype = "float32"
    config.ema = 0.9
    config.data.source = "moving_crops"
    config.data.image_size = image_size
    config.data.num_frames = num_frames
    config.data.num_workers = 0
    config.model.image_size = image_size
    config.model.num_frames = num_frames
    config.model.remat = False
    config.objective.perceptual.weight = 0.0
    config.objective.adversarial.start = 2
    config.discriminator.channels = 4
    config.discriminator.num_layers = 1
    return config
