"""Latent diffusion's KL-f4 (arXiv 2112.10752): 55,312,063 parameters, 4x4 pixels to 3 numbers.

    strata train --config configs/kl/f4.py --workdir runs/kl_f4 \\
        --config.data.path=data/imagenet \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The network, the loss and the deviations of configs/kl_f8/sd.py, with one resolution less. The other
recipes of this folder have more resolutions and more channels of latents.

The paper gives neither the hardware nor the number of steps of this model.

Expected figures on ImageNet's validation set at 256x256, the authors' and not ours: PSNR 27.53 dB,
rFID 0.27.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

sd = run_path(str(Path(__file__).parents[1] / "kl_f8" / "sd.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network, without a discriminator."""
    config = sd["get_config"]()
    config.model.latent_channels = 3
    config.model.encoder.attention_levels = ()
    config.model.decoder.attention_levels = ()
    config.model.encoder.channels = (128, 256, 512)
    config.model.decoder.channels = (128, 256, 512)
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink every recipe of this folder to the same network, which is compiled only once.

    It has the middle of the encoder and the decoder, without attention.
    """
    sd["tiny"](config)
    config.model.latent_channels = 4
    for network in (config.model.encoder, config.model.decoder):
        network.num_blocks = 0
        network.attention = False
        network.attention_levels = ()
        network.channels = (8,)
    config.objective.adversarial.start = config.num_steps
    return config
