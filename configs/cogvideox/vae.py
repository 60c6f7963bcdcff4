"""The codec of CogVideoX (arXiv 2408.06072): 215,583,907 parameters, 4x8x8 pixels to 16 numbers.

    strata train --config configs/cogvideox/vae.py --workdir runs/cogvideox \\
        --config.data.path=videos \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The network is the authors', who code clips of 1 + 8k frames in windows of 8, the first one of 9
(docs/codecs.md), in training too. They publish no training code: the settings are ours
(configs/published_video.py), for about 8 GPUs of 80 GB, and we know of no figure to expect. To go
on from the published weights, import them.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

video = run_path(str(Path(__file__).parents[1] / "published_video.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on moving crops."""
    config = video["defaults"]()
    config.model.latent_channels = 16
    config.model.quant_convs = False
    config.model.encoder = ConfigDict()
    config.model.encoder.name = "video.cogvideox.Encoder"
    config.model.encoder.channels = (128, 256, 256, 512)
    config.model.encoder.num_blocks = 3
    config.model.encoder.groups = 32
    config.model.bottleneck = dict(name="gaussian.Gaussian")
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "video.cogvideox.Decoder"
    config.model.decoder.channels = (128, 256, 256, 512)
    config.model.decoder.num_blocks = 4
    config.model.decoder.groups = 32
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink to clips of 9 frames of 16x16 and a network of a few thousand parameters."""
    video["tiny"](config, num_frames=9)
    config.model.latent_channels = 2
    for network in (config.model.encoder, config.model.decoder):
        network.channels = (4, 4, 4, 4)
        network.groups = 2
        network.num_blocks = 1
    return config
