"""The video codec of LTX-2.0 (arXiv 2601.03233): 1,222,479,601 parameters, 8x32x32 pixels to 128
numbers.

    strata train --config configs/ltx_video/ltx2.py --workdir runs/ltx_ltx2 \\
        --config.data.path=videos \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The network is the authors': that of LTX-Video 0.9.5 without conditioning on a time, whose decoder
mirrors the edges of frames. Chunks of latents give other frames than the whole clip. The authors
publish no training code: the settings are ours (configs/published_video.py), for about 8 GPUs of 80
GB, and we know of no figure to expect. To go on from the published weights, import them
(docs/codecs.md).
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
    config.model.encoder.channels = (128, 256, 512, 1024, 2048)
    config.model.encoder.num_blocks = (4, 6, 6, 2, 2)
    config.model.encoder.downs = ("spatial", "temporal", "spatiotemporal", "spatiotemporal")
    config.model.encoder.patch = 4
    config.model.encoder.space_padding = "zeros"
    config.model.bottleneck = dict(name="shared_variance.SharedVarianceGaussian")
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "video.ltx.Decoder"
    config.model.decoder.channels = (1024, 512, 256, 128)
    config.model.decoder.num_blocks = (5, 5, 5, 5)
    config.model.decoder.ups = ("spatiotemporal", "spatiotemporal", "spatiotemporal")
    config.model.decoder.reductions = (2, 2, 2)
    config.model.decoder.residual = (True, True, True)
    config.model.decoder.patch = 4
    config.model.decoder.space_padding = "reflect"
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
    config.model.decoder.residual = (True,)
    config.model.decoder.patch = 2
    return config
