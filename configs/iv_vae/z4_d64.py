"""IV-VAE z4 d64 (arXiv 2411.06449): 107,170,842 parameters, 4x8x8 pixels to 4 numbers.

    strata train --config configs/iv_vae/z4_d64.py --workdir runs/iv_vae_z4_d64 \\
        --config.data.path=videos \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The network is the authors': half of the channels see single frames, and convolutions over time are
causal by groups. They publish no training code, only that they train on images at 256x256 first,
then on clips at 256x256 and 512x512, and then on both with a discriminator of clips. The settings
are ours (configs/published_video.py), and we know of no figure to expect. To import the authors'
weights: strata import --from iv-vae FILE --out CODEC.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

video = run_path(str(Path(__file__).parents[1] / "published_video.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on moving crops."""
    config = video["defaults"]()
    config.model.latent_channels = 4
    config.model.quant_convs = True
    config.model.encoder = ConfigDict()
    config.model.encoder.name = "video.iv_vae.Encoder"
    config.model.encoder.width = 64
    config.model.encoder.num_blocks = 2
    config.model.bottleneck = dict(name="gaussian.Gaussian")
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "video.iv_vae.Decoder"
    config.model.decoder.width = 64
    config.model.decoder.num_blocks = 3
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink to clips of 5 frames of 16x16 and a narrow network."""
    video["tiny"](config)
    for network in (config.model.encoder, config.model.decoder):
        network.width = 2
        network.num_blocks = 1
    return config
