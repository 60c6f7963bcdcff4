"""The codec of EasyAnimate 5.1 (arXiv 2405.18991): 244,375,507 parameters, 4x8x8 to 16 numbers.

    strata train --config configs/magvit/easyanimate.py --workdir runs/easyanimate \\
        --config.data.path=videos \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The network is the authors', who call it MAGVIT. These settings are theirs, from their trainer: the
learning rate of 1e-4, clips of 49 frames of 256x256, L1 + 0.1 squared error + LPIPS, a KL of 1e-6,
and a discriminator of weight 0.5 from step 50,000 on. The rest is ours
(configs/published_video.py), for about 8 GPUs of 80 GB; we know of no figure to expect. To go on
from the published weights, import them (docs/codecs.md).
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

video = run_path(str(Path(__file__).parents[1] / "published_video.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on moving crops."""
    config = video["defaults"](num_frames=49)
    config.model.latent_channels = 16
    config.model.quant_convs = True
    config.model.encoder = ConfigDict()
    config.model.encoder.name = "video.magvit.Encoder"
    config.model.encoder.channels = (128, 256, 512, 512)
    config.model.encoder.in_time = (False, True, True)
    config.model.encoder.num_blocks = 2
    config.model.encoder.num_middle = 2
    config.model.encoder.groups = 32
    config.model.bottleneck = dict(name="gaussian.Gaussian")
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "video.magvit.Decoder"
    config.model.decoder.channels = (128, 256, 512, 512)
    config.model.decoder.in_time = (False, True, True)
    config.model.decoder.num_blocks = 3
    config.model.decoder.num_middle = 2
    config.model.decoder.groups = 32
    config.objective.l2 = dict(weight=0.1)
    config.optimizer.learning_rate = 1e-4
    config.discriminator.optimizer.learning_rate = 1e-4
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink to clips of 5 frames of 16x16 and a network of a few thousand parameters."""
    video["tiny"](config)
    config.model.latent_channels = 2
    for network in (config.model.encoder, config.model.decoder):
        network.channels = (4, 4, 4, 4)
        network.groups = 2
        network.num_blocks = 1
        network.num_middle = 1
    return config
