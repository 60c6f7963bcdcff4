"""The video codec of LTX-2.3 (arXiv 2601.03233): 726,105,969 parameters, 8x32x32 pixels to 128
numbers.

    strata train --config configs/ltx_video/ltx23.py --workdir runs/ltx_ltx23 \\
        --config.data.path=videos \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The network is the authors'; LTX-2.5 has the same encoder. Chunks of latents give other frames than
the whole clip. The authors publish no training code: the settings are ours
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
    config.model.encoder.channels = (128, 256, 512, 1024, 1024)
    config.model.encoder.num_blocks = (4, 6, 4, 2, 2)
    config.model.encoder.downs = ("spatial", "temporal", "spatiotemporal", "spatiotemporal")
    config.model.encoder.patch = 4
    config.model.encoder.space_padding = "zeros"
    config.model.bottleneck = dict(name="shared_variance.SharedVarianceGaussian")
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "video.ltx.Decoder"
    config.model.decoder.channels = (1024, 512, 512, 256, 128)
    config.model.decoder.num_blocks = (2, 2, 4, 6, 4)
    config.model.decoder.ups = ("spatiotemporal", "spatiotemporal", "temporal", "spatial")
    config.model.decoder.reductions = (2, 1, 2, 2)
    config.model.decoder.residual = (False, False, False, False)
    config.model.decoder.patch = 4
    config.model.decoder.space_padding = "zeros"
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink to one level of each kind, and clips of 3 frames of 16x16."""
    video["tiny"](config, image_size=16, num_frames=3)
    config.model.latent_channels = 2
    config.model.encoder.channels = (4, 8)
    config.model.encoder.num_blocks = (0, 1)
    config.model.encoder.downs = ("spatiotemporal",)
    config.model.encoder.patch = 2
    config.model.decoder.channels = (16, 8)
    config.model.decoder.num_blocks = (1, 0)
    config.model.decoder.ups = ("spatiotemporal",)
    config.model.decoder.reductions = (2,)
    config.model.decoder.residual = (False,)
    config.model.decoder.patch = 2
    return config
