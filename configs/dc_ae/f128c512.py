"""DC-AE f128c512 (arXiv 2410.10733): 1,120,682,252 parameters, 128x128 pixels to 512 numbers.

    strata train --config configs/dc_ae/f128c512.py --workdir runs/dc_ae_f128c512 \\
        --config.data.path=data/imagenet \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The network is that of configs/dc_ae/f32c32.py with two resolutions
more. The image size is ours; everything else is as there. We know of no figure to expect of this
training. To import the authors' weights: strata import --from diffusers DIR --out CODEC.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

f32c32 = run_path(str(Path(__file__).with_name("f32c32.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/dc_ae/f32c32.py."""
    config = f32c32["get_config"]()
    config.data.image_size = 512
    config.model.image_size = 512
    config.model.latent_channels = 512
    for network, depths in (
        (config.model.encoder, (0, 4, 8)),
        (config.model.decoder, (0, 5, 10)),
    ):
        network.channels = (128, 256, 512, 512, 1024, 1024, 2048, 2048)
        network.depths = (*depths, 2, 2, 2, 2, 2)
        network.attention_levels = (3, 4, 5, 6, 7)
    return f32c32["tiny"](config) if arg == "tiny" else config
