"""The tiny autoencoder TAESD (github.com/madebyollin/taesd) by itself: 2.4M parameters, 8x8 pixels to 4 numbers.

    strata train --config configs/taesd/taesd.py --workdir runs/taesd --config.data.path=data/images \\
        --config.objective.perceptual.weights=vgg16-397923af.pth --config.objective.perceptual.heads=vgg.pth

The author distils it from a large codec: the encoder learns that one's latents, the decoder its images, with a
discriminator. Here both sides learn together from images, with latents of their own; from him are the network, the
batch of 16 and Adam at 3e-4 (0.9, 0.9), though without his amsgrad. No hardware, time or figure of such a training is
known to us.
His weights: strata import --from taesd ENCODER DECODER --out CODEC.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

# By path, since a recipe is loaded by path and its folder need not be importable.
sd = run_path(str(Path(__file__).parent.with_name("kl_f8") / "sd.py"))


def get_config(arg: str = "") -> ConfigDict:
    """`:tiny` is a few steps on crops of scikit-learn's photographs."""
    config = sd["get_config"]()
    config.model = ConfigDict(
        dict(
            name="taesd.TAESD",
            image_size=256,
            latent_channels=4,
            width=64,
            num_blocks=3,
            pool=False,
        )
    )
    config.update(
        dict(
            batch_size=16,
            eval=dict(batch_size=16),
            objective=dict(kl=0.0),
            # His losses are means over values, as ours is when it is differentiated: eps is Adam's own.
            optimizer=dict(learning_rate=3e-4, b1=0.9, b2=0.9, eps=1e-8),
        )
    )
    return sd["tiny"](config) if arg == "tiny" else config
