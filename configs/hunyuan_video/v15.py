"""The codec of HunyuanVideo 1.5: 1,260,634,115 parameters, 4x16x16 pixels to 32 numbers.

    strata train --config configs/hunyuan_video/v15.py --workdir runs/hunyuan_video15 \\
        --config.data.path=videos \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The network is the authors'. Chunks of a clip give what the whole clip gives, with the keys and
values of attention over all earlier frames in memory. The authors publish no training code: the
settings are ours (configs/published_video.py), for about 16 GPUs of 80 GB, and we know of no figure
to expect. To go on from the published weights, import them (docs/codecs.md).
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

video = run_path(str(Path(__file__).parents[1] / "published_video.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on moving crops."""
    config = video["defaults"]()
    config.model.latent_channels = 32
    config.model.quant_convs = False
    config.model.encoder = ConfigDict()
    config.model.encoder.name = "video.hunyuan_residual.Encoder"
    config.model.encoder.channels = (128, 256, 512, 1024, 1024)
    config.model.encoder.in_time = (False, False, True, True)
    config.model.encoder.num_blocks = 2
    config.model.bottleneck = dict(name="gaussian.Gaussian")
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "video.hunyuan_residual.Decoder"
    config.model.decoder.channels = (128, 256, 512, 1024, 1024)
    config.model.decoder.in_time = (False, False, True, True)
    config.model.decoder.num_blocks = 3
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink to clips of 3 frames of 16x16 and a network of a few thousand parameters."""
    video["tiny"](config, num_frames=3)
    config.model.latent_channels = 2
    for network in (config.model.encoder, config.model.decoder):
        network.channels = (8, 8, 8)
        network.in_time = (False, True)
        network.num_blocks = 1
    return config
