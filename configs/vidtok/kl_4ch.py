"""VidTok KL-4 (arXiv 2412.13061): 157,451,663 parameters, 4x8x8 pixels of a clip to 4 numbers.

    strata train --config configs/vidtok/kl_4ch.py --workdir runs/vidtok_kl_4ch \\
        --config.data.path=videos \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

As in the authors' training: clips of 17 frames, 3 of a second; L1 + LPIPS + 1e-6 KL; a
discriminator from step 20,000 on with the weight 0.2. They train at 128x128 first, for 50,000 steps
of 16 clips, and then the decoder alone at 256x256 (--config.trainable=decoder), for 30,000 of 8.
Ours: one size, the hinge loss (theirs has cross-entropies and a LeCam regularizer, on frames), and
the optimizer of configs/published_video.py at their 1e-5.

Expected figure of the authors' weights, theirs and not ours, on 17 frames at 256x256 of MCL-JCV:
29.64 dB. To import them: strata import --from diffusers DIR --out CODEC.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

video = run_path(str(Path(__file__).parents[1] / "published_video.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on moving crops."""
    config = video["defaults"]()
    config.num_steps = 80_000
    config.data.fps = 3
    config.model.latent_channels = 4
    config.model.encoder = ConfigDict()
    config.model.encoder.name = "video.vidtok.Encoder"
    config.model.encoder.channels = (128, 256, 512, 512)
    config.model.encoder.in_time = (False, True, True)
    config.model.encoder.num_blocks = 2
    config.model.bottleneck = dict(name="gaussian.Gaussian")
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "video.vidtok.Decoder"
    config.model.decoder.channels = (128, 256, 512, 512)
    config.model.decoder.in_time = (False, True, True)
    config.model.decoder.num_blocks = 3
    config.objective.adversarial.weight = 0.2
    config.objective.adversarial.start = 20_000
    config.optimizer.learning_rate = 1e-5
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink to clips of 5 frames of 16x16 and a network of a few thousand parameters."""
    video["tiny"](config)
    config.data.fps = 0
    for network in (config.model.encoder, config.model.decoder):
        network.channels = (4, 4, 8, 8)
        network.num_blocks = 1
    return config
