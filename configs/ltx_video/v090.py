"""The codec of LTX-Video 0.9.0 (arXiv 2501.00103): 419,193,649 parameters, 8x32x32 pixels to 128
numbers.

    strata train --config configs/ltx_video/v090.py --workdir runs/ltx_v090 \\
        --config.data.path=videos \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The network is the authors'. Its encoder is causal and its decoder is not: chunks of latents give
other frames than the whole clip. The authors publish no training code: the settings are ours
(configs/published_video.py), for about 8 GPUs of 80 GB, and we know of no figure to expect. To go
on from the published weights, import them (docs/codecs.md).
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

video = run_path(str(Path(__file__).parents[1] / "published_video.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on moving crops."""
    config = video["defaults"]()
    config.model.latent_channels = 128
    config.model.encoder = ConfigDict()
    config.model.encoder.name = "video.ltx.Encoder"
    config.model.encoder.channels = (128, 256, 512, 512, 512)
    config.model.encoder.num_blocks = (4, 3, 3, 3, 4)
    config.model.encoder.downs = ("conv", "conv", "conv", "none")
    config.model.encoder.patch = 4
    config.model.bottleneck = dict(name="shared_variance.SharedVarianceGaussian")
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "video.ltx.Decoder"
    config.model.decoder.channels = (512, 512, 512, 256, 128)
    config.model.decoder.num_blocks = (4, 3, 3, 3, 4)
    config.model.decoder.ups = ("none", "spatiotemporal", "spatiotemporal", "spatiotemporal")
    config.model.decoder.reductions = (1, 1, 1, 1)
    config.model.decoder.residual = (False, False, False, False)
    config.model.decoder.patch = 4
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink to one level of each kind, and clips of 3 frames of 16x16."""
    video["tiny"](config, image_size=16, num_frames=3)
    config.model.latent_channels = 2
    config.model.encoder.channels = (4, 8)
    config.model.encoder.num_blocks = (0, 1)
    config.model.encoder.downs = ("conv",)
    config.model.encoder.patch = 2
    config.model.decoder.channels = (8, 4)
    config.model.decoder.num_blocks = (1, 0)
    config.model.decoder.ups = ("spatiotemporal",)
    config.model.decoder.reductions = (1,)
    config.model.decoder.residual = (False,)
    config.model.decoder.patch = 2
    return config
