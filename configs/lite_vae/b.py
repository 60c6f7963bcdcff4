"""LiteVAE-B (arXiv 2405.14477): 59,955,678 parameters, 8x8 pixels to 12 numbers.

    strata train --config configs/lite_vae/b.py --workdir runs/lite_vae_b \\
        --config.data.path=data/imagenet \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The encoder has 6,623,036 of the parameters, a fifth of latent diffusion's of the same factor. It
reads the Haar bands of three levels, and the decoder has self-modulated convolutions. The authors
train at 128x128 first, which is 100,000 steps here, and then with a discriminator at 256x256, which
is 50,000. The other recipes of this folder have other widths and depths of the encoder.

The authors published no code. The stages and the weights of the KL (0.01), of the high Haar bands
(1) and of the fine detail (0.5) are those of the public reimplementation; batch size, learning rate
and discriminator are those of configs/kl_f8/sd.py, where the authors' discriminator judges pixels.

Expected figures at 256x256, the authors' and not ours: PSNR 29.55 dB, LPIPS 0.069, rFID 0.94.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

sd = run_path(str(Path(__file__).parents[1] / "kl_f8" / "sd.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on one level of bands."""
    config = sd["get_config"]()
    config.num_steps = 150_000
    config.data.image_size = 128
    config.model = ConfigDict()
    config.model.name = "autoencoder.Autoencoder"
    config.model.image_size = 128
    config.model.latent_channels = 12
    config.model.remat = False
    config.model.encoder = ConfigDict()
    config.model.encoder.name = "lite_vae.Encoder"
    config.model.encoder.levels = 3
    config.model.encoder.widths = (32, 64, 96)
    config.model.encoder.depth = 4
    config.model.encoder.joint_widths = (32, 64, 96)
    config.model.encoder.joint_depth = 4
    config.model.encoder.groups = 8
    config.model.bottleneck = dict(name="gaussian.Gaussian")
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "lite_vae.Decoder"
    config.model.decoder.channels = (128, 256, 512, 512)
    config.model.decoder.num_blocks = 3

    config.objective.rate.weight = 0.01
    config.objective.haar_bands = dict(weight=1.0, levels=3)
    config.objective.fine_detail = dict(weight=0.5)
    config.objective.adversarial.start = 100_000
    config.stages = [
        {"num_steps": 100_000},
        {"num_steps": 50_000, "data.image_size": 256, "model.image_size": 256},
    ]
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink every recipe of this folder to the same network, in one stage, with no discriminator.

    It has one level of bands, and the loss of Haar bands alone of the two of high frequencies.
    """
    networks = config.model.encoder, config.model.decoder
    config.model.encoder = ConfigDict(dict(name=""))
    config.model.decoder = ConfigDict(dict(name=""))
    sd["tiny"](config)
    config.model.encoder, config.model.decoder = networks
    config.stages = []
    config.model.latent_channels = 4
    config.model.encoder.levels = 1
    config.model.encoder.widths = (8, 8)
    config.model.encoder.depth = 1
    config.model.encoder.joint_widths = (8,)
    config.model.encoder.joint_depth = 0
    config.model.decoder.channels = (8, 8)
    config.model.decoder.num_blocks = 0
    config.objective.haar_bands.levels = 1
    config.objective.fine_detail.weight = 0.0
    config.objective.adversarial.start = config.num_steps
    return config
