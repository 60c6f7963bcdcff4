"""The codec of Allegro (arXiv 2410.15458): 174,955,751 parameters, 4x8x8 pixels to 4 numbers.

    strata train --config configs/allegro/vae.py --workdir runs/allegro \\
        --config.data.path=videos \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The network is the authors'. Its norms see all frames of a window of 24, in which clips are coded.
They publish no training code: the settings are ours (configs/published_video.py), on clips of one
window, and we know of no figure to expect. To go on from the published weights, import them
(docs/codecs.md).
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

video = run_path(str(Path(__file__).parents[1] / "published_video.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on moving crops."""
    config = video["defaults"](num_frames=24)
    config.model.latent_channels = 4
    config.model.quant_convs = True
    config.model.encoder = ConfigDict()
    config.model.encoder.name = "video.allegro.Encoder"
    config.model.encoder.channels = (128, 256, 512, 512)
    config.model.encoder.in_time = (True, True, False)
    config.model.encoder.num_blocks = 2
    config.model.encoder.groups = 32
    config.model.bottleneck = dict(name="gaussian.Gaussian")
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "video.allegro.Decoder"
    config.model.decoder.channels = (128, 256, 512, 512)
    config.model.decoder.in_time = (False, True, True)
    config.model.decoder.num_blocks = 3
    config.model.decoder.groups = 32
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink to one window of 16x16 pixels and a network of a few thousand parameters."""
    video["tiny"](config, num_frames=24)
    for network in (config.model.encoder, config.model.decoder):
        network.channels = (4, 4, 4, 4)
        network.num_blocks = 1
        network.groups = 2
    return config
