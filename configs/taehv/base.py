"""TAEHV (github.com/madebyollin/taehv): 11,315,539 parameters, 4x8x8 pixels to 16 numbers.

    strata train --config configs/taehv/base.py --workdir runs/taehv \\
        --config.data.path=videos \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The network is the author's: 1,470,928 parameters encode and 9,844,611 decode, with the 16 channels
of Wan 2.1, HunyuanVideo and CogVideoX. He distils it from a large codec; here encoder and decoder
learn together from clips, and have latents of their own. The settings are ours
(configs/published_video.py), with a higher rate and no discriminator before step 100,000, and we
know of no figure to expect. To import his weights: strata import --from taehv FILE --out CODEC.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

video = run_path(str(Path(__file__).parents[1] / "published_video.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on moving crops."""
    config = video["defaults"]()
    config.model.latent_channels = 16
    config.model.remat = False
    config.model.encoder = ConfigDict()
    config.model.encoder.name = "video.taehv.Encoder"
    config.model.encoder.width = 64
    config.model.encoder.num_blocks = 3
    config.model.encoder.in_time = (True, True, False)
    config.model.encoder.patch = 1
    config.model.bottleneck = dict(name="identity.Identity")
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "video.taehv.Decoder"
    config.model.decoder.channels = (256, 128, 64, 64)
    config.model.decoder.num_blocks = 3
    config.model.decoder.in_time = (False, True, True)
    config.model.decoder.patch = 1

    config.objective.rate.weight = 0.0
    config.objective.adversarial.start = 100_000
    config.optimizer.learning_rate = 3e-4
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink to clips of 5 frames of 16x16 and a network of a few thousand parameters."""
    video["tiny"](config)
    config.model.encoder.width = 4
    config.model.decoder.channels = (8, 8, 4, 4)
    config.model.encoder.num_blocks = config.model.decoder.num_blocks = 1
    config.model.latent_channels = 2
    return config
