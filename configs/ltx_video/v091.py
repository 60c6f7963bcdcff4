"""The codec of LTX-Video 0.9.1 (arXiv 2501.00103): 934,976,434 parameters, 8x32x32 pixels to 128
numbers.

    strata train --config configs/ltx_video/v091.py --workdir runs/ltx_v091 \\
        --config.data.path=videos \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The network is the authors': the encoder of 0.9.0, and a decoder that is conditioned on a time and
injects noise, whose seed is a setting. `decode_timestep` is the level of the noise in the latents:
0, as here and in diffusers' pipelines, is for latents as they are; the authors suggest 0.05 for
those of a diffusion model, with noise of 0.025 added. The authors' training varies it, and ours
does not. The authors publish no training code: the settings are ours (configs/published_video.py),
for about 8 GPUs of 80 GB, and we know of no figure to expect. To go on from the published weights,
import them (docs/codecs.md).
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
    config.model.decoder.channels = (1024, 512, 256, 128)
    config.model.decoder.num_blocks = (8, 7, 6, 5)
    config.model.decoder.ups = ("spatiotemporal", "spatiotemporal", "spatiotemporal")
    config.model.decoder.reductions = (2, 2, 2)
    config.model.decoder.residual = (True, True, True)
    config.model.decoder.noise = (False, True, True, True)
    config.model.decoder.decode_timestep = 0.0
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
    config.model.decoder.channels = (16, 8)
    config.model.decoder.num_blocks = (1, 0)
    config.model.decoder.ups = ("spatiotemporal",)
    config.model.decoder.reductions = (2,)
    config.model.decoder.residual = (True,)
    config.model.decoder.patch = 2
    config.model.decoder.noise = (True, False)
    return config
