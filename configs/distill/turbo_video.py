"""Distil only the decoder of a video codec: a fast decoder of the same, unchanged latents.

    strata train --config configs/distill/turbo_video.py --workdir runs/turbo \\
        --config.init.codec=wan/ --config.teacher.codec=wan/ --config.data.path=videos \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth
    strata export --workdir runs/turbo --out turbo/

The encoder is the teacher's, frozen, so that the latents are equal and the card says so; give the
same codec twice, a causal one of 4x8x8 pixels to a latent such as Wan 2.1's. The decoder is new:
Wan's with separable convolutions in its blocks, 2 a resolution, and has 1,624,371 parameters for 16
channels of latents, where Wan 2.1's has 73,295,331. It learns as in configs/distill/taehv.py. The
settings are ours, and we have no figure. No teacher of the published size has been run here.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

taehv = run_path(str(Path(__file__).with_name("taehv.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` gives a model and learns from clips, without a teacher."""
    config = taehv["get_config"](arg)
    config.trainable = "decoder"
    config.objective.teacher_latents.weight = 0.0
    if arg == "tiny":
        return config
    config.init = dict(codec="", arrays=("^(encoder|quant_conv|bottleneck)",))
    config.model = ConfigDict()
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "video.wan_separable.Decoder"
    config.model.decoder.channels = (48, 96, 192, 192)
    config.model.decoder.num_blocks = 2
    return config
