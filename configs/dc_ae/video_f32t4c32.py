"""Video DC-AE (arXiv 2410.10733, 2509.25182): 697,974,499 parameters, 4x32x32 pixels to 32 numbers.

    strata train --config configs/dc_ae/video_f32t4c32.py --workdir runs/dc_ae_video \\
        --config.data.path=videos \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

A clip is coded in chunks of 16 frames, each of which sees itself and the past: within a chunk
frames see each other, and convolutions over time get one frame of the chunk before. Clips have 16 +
16k frames. Nothing is paid for the rate of the latents.

The paper of DC-AE-V names the structure; its sizes and training are not known to us. Widths are
those of DC-AE, with two to three blocks at each resolution, and the settings are ours
(configs/published_video.py). We know of no figure to expect.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

video = run_path(str(Path(__file__).parents[1] / "published_video.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on two chunks of 4 frames."""
    config = video["defaults"](num_frames=32)
    config.model.latent_channels = 32
    config.model.encoder = ConfigDict()
    config.model.encoder.name = "video.dc_ae.Encoder"
    config.model.bottleneck = dict(name="identity.Identity")
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "video.dc_ae.Decoder"
    for network in (config.model.encoder, config.model.decoder):
        network.channels = (128, 256, 512, 512, 1024, 1024)
        network.depths = (2, 2, 2, 3, 3, 3)
        network.attention_levels = (3, 4, 5)
        network.in_time = (False, False, False, True, True)
        network.head_dim = 32
        network.chunk = 16
    config.objective.rate.weight = 0.0
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink to clips of 8 frames of 16x16, without a discriminator."""
    video["tiny"](config, num_frames=8)
    config.model.latent_channels = 4
    for network in (config.model.encoder, config.model.decoder):
        network.channels = (8, 16)
        network.depths = (1, 1)
        network.attention_levels = (1,)
        network.in_time = (True,)
        network.head_dim = 8
        network.chunk = 4
    config.objective.adversarial.start = config.num_steps
    return config
