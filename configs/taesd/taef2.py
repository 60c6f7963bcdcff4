"""TAESD for FLUX.2 (github.com/madebyollin/taesd): 2.7M parameters, 8x8 pixels to 32 numbers.

    strata train --config configs/taesd/taef2.py --workdir runs/taef2 \\
        --config.data.path=data/images \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The blocks at the lowest resolution see statistics of the whole image. Everything else is as in
configs/taesd/taesd.py. To import the author's weights: strata import --from taesd taef2_encoder.pth
taef2_decoder.pth --out CODEC. Expected figure of these weights on Kodak's 24 photographs, measured
in torch: 30.19 dB.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

taesd = run_path(str(Path(__file__).with_name("taesd.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/taesd/taesd.py."""
    config = taesd["get_config"](arg)
    config.model.latent_channels = 32
    config.model.encoder.pool = True
    config.model.decoder.pool = True
    return config
