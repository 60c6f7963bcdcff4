"""Distil only the decoder of an image codec: a fast decoder of the same, unchanged latents.

    strata train --config configs/distill/turbo.py --workdir runs/turbo \\
        --config.init.codec=codec/ --config.teacher.codec=codec/ --config.data.path=photos/ \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth
    strata export --workdir runs/turbo --out turbo/

The encoder is the teacher's, frozen, so that the latents are equal and the card says so; give the
same codec twice. The decoder is new: TAESD's with 48 channels and 2 blocks a resolution, for codecs
of 8x8 pixels to a latent. It learns as in configs/distill/taesd.py. The settings are ours, and we
have no figure.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

taesd = run_path(str(Path(__file__).with_name("taesd.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` gives a model and learns from images, without a teacher."""
    config = taesd["get_config"](arg)
    config.trainable = "decoder"
    config.objective.teacher_latents.weight = 0.0
    if arg == "tiny":
        return config
    config.init = dict(codec="", arrays=("^(encoder|quant_conv|bottleneck)",))
    config.model = ConfigDict()
    config.model.decoder = dict(name="taesd.Decoder", width=48, num_blocks=2)
    return config
