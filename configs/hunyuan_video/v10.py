"""The codec of HunyuanVideo (arXiv 2412.03603): 246,478,803 parameters, 4x8x8 to 16 numbers.

    strata train --config configs/hunyuan_video/v10.py --workdir runs/hunyuan_video \\
        --config.data.path=videos \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The network is the authors'. Its group norms see all frames of a clip, so that clips are coded whole
(docs/codecs.md). The authors publish no training code: the settings are ours
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
    config.model.quant_convs = True
    config.model.encoder = ConfigDict()
    config.model.encoder.name = "video.hunyuan.Encoder"
    config.model.encoder.channels = (128, 256, 512, 512)
    config.model.encoder.num_blocks = 2
    config.model.encoder.groups = 32
    config.model.encoder.attention = True
    config.model.bottleneck = dict(name="gaussian.Gaussian")
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "video.hunyuan.Decoder"
    config.model.decoder.channels = (128, 256, 512, 512)
    config.model.decoder.num_blocks = 3
    config.model.decoder.groups = 32
    config.model.decoder.attention = True
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink to clips of 5 frames of 16x16 and a network of a few thousand parameters."""
    video["tiny"](config)
    config.model.latent_channels = 2
    for network in (config.model.encoder, config.model.decoder):
        network.channels = (4, 4, 4, 4)
        network.groups = 2
        network.num_blocks = 1
    return config
