"""The codec of Mochi 1 (genmoai/mochi): 459,748,611 parameters, 6x8x8 pixels to 12 numbers.

    strata train --config configs/mochi/vae.py --workdir runs/mochi_vae \\
        --config.data.path=videos \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The network is the authors', and causal both ways; the cache of a stream holds keys and values of
all earlier frames. The authors publish no training code: the settings are ours
(configs/published_video.py), for about 8 GPUs of 80 GB, and we know of no figure to expect. To go
on from the published weights, import them (docs/codecs.md).
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

video = run_path(str(Path(__file__).parents[1] / "published_video.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on moving crops."""
    config = video["defaults"](num_frames=19)
    config.model.latent_channels = 12
    config.model.encoder = ConfigDict()
    config.model.encoder.name = "video.mochi.Encoder"
    config.model.encoder.channels = (64, 128, 256, 384)
    config.model.encoder.num_blocks = (3, 3, 4, 6, 3)
    config.model.encoder.time_factors = (1, 2, 3)
    config.model.encoder.space_factors = (2, 2, 2)
    config.model.encoder.attention = (False, True, True, True, True)
    config.model.bottleneck = dict(name="gaussian.Gaussian")
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "video.mochi.Decoder"
    config.model.decoder.channels = (128, 256, 512, 768)
    config.model.decoder.num_blocks = (3, 3, 4, 6, 3)
    config.model.decoder.time_factors = (1, 2, 3)
    config.model.decoder.space_factors = (2, 2, 2)
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink to one step of 3 frames and clips of 4 frames of 16x16."""
    video["tiny"](config, image_size=16, num_frames=4)
    config.model.latent_channels = 2
    for network in (config.model.encoder, config.model.decoder):
        network.channels = (32, 32)
        network.num_blocks = (0, 0, 1)
        network.time_factors = (3,)
        network.space_factors = (2,)
    config.model.encoder.attention = (False, False, True)
    return config
