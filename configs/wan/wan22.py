"""The codec of Wan 2.2's 5B model: 704,688,668 parameters, 4x16x16 pixels to 48 numbers.

    strata train --config configs/wan/wan22.py --workdir runs/wan22 \\
        --config.data.path=videos \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The network is the authors' (networks/video/wan_residual.py). They publish no training code: the
settings are ours (configs/published_video.py), for about 8 GPUs of 80 GB, and we know of no figure
to expect. To go on from the published weights, import them (docs/codecs.md).
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

wan21 = run_path(str(Path(__file__).with_name("wan21.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on moving crops."""
    config = wan21["get_config"]()
    config.model.latent_channels = 48
    config.model.encoder.name = "video.wan_residual.Encoder"
    config.model.encoder.channels = (160, 320, 640, 640)
    config.model.encoder.patch = 2
    config.model.decoder.name = "video.wan_residual.Decoder"
    config.model.decoder.channels = (256, 512, 1024, 1024)
    config.model.decoder.patch = 2
    return wan21["tiny"](config) if arg == "tiny" else config
