"""TAESD (github.com/madebyollin/taesd), trained alone: 2.4M parameters, 8x8 pixels to 4 numbers.

    strata train --config configs/taesd/taesd.py --workdir runs/taesd \\
        --config.data.path=data/images \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The author distils it from a large codec: the encoder learns that codec's latents and the decoder
its images, with a discriminator. Here encoder and decoder learn together from images, and have
latents of their own. The network, the batch of 16 and Adam at 3e-4 (0.9, 0.9) are the author's,
without amsgrad. We know of no hardware, time or figure for such a training. To import his weights:
strata import --from taesd ENCODER DECODER --out CODEC.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

sd = run_path(str(Path(__file__).parents[1] / "kl_f8" / "sd.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains for a few steps on crops of scikit-learn's photographs."""
    config = sd["get_config"]()
    config.batch_size = 16

    config.model = ConfigDict()
    config.model.name = "autoencoder.Autoencoder"
    config.model.image_size = 256
    config.model.latent_channels = 4
    config.model.encoder = ConfigDict()
    config.model.encoder.name = "taesd.Encoder"
    config.model.encoder.width = 64
    config.model.encoder.num_blocks = 3
    config.model.encoder.pool = False
    config.model.bottleneck = dict(name="identity.Identity")
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "taesd.Decoder"
    config.model.decoder.width = 64
    config.model.decoder.num_blocks = 3
    config.model.decoder.pool = False

    config.objective.rate.weight = 0.0

    config.optimizer.learning_rate = 3e-4
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.9
    # His losses are means over values, as ours is when it is differentiated: eps is Adam's own.
    config.optimizer.eps = 1e-8

    config.eval.batch_size = 16
    return sd["tiny"](config) if arg == "tiny" else config
