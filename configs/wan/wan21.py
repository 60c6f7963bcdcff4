"""The codec of Wan 2.1 (arXiv 2503.20314): 126,892,531 parameters, 4x8x8 pixels to 16 numbers.

    strata train --config configs/wan/wan21.py --workdir runs/wan21 \\
        --config.data.path=videos \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The network is the authors'; Wan 2.2's 14B models use it too, and Qwen-Image has one of the same
form. The authors publish no training code: the settings are ours (configs/published_video.py), for
about 8 GPUs of 80 GB, and we know of no figure to expect. To go on from the published weights,
import them (docs/codecs.md).
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

video = run_path(str(Path(__file__).parents[1] / "published_video.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on moving crops."""
    config = video["defaults"]()
    config.model.latent_channels = 16
    config.model.quant_convs = True
    config.model.encoder = ConfigDict()
    config.model.encoder.name = "video.wan.Encoder"
    config.model.encoder.channels = (96, 192, 384, 384)
    config.model.encoder.num_blocks = 2
    config.model.encoder.in_time = (False, True, True)
    config.model.bottleneck = dict(name="gaussian.Gaussian")
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "video.wan.Decoder"
    config.model.decoder.channels = (96, 192, 384, 384)
    config.model.decoder.num_blocks = 3
    config.model.decoder.in_time = (False, True, True)
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink to clips of 5 frames of 16x16 and a network of a few thousand parameters."""
    video["tiny"](config)
    config.model.latent_channels = 2
    for network in (config.model.encoder, config.model.decoder):
        network.channels = (4, 4, 8, 8)
        network.num_blocks = 1
    return config
