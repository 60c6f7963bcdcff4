"""The scale hyperprior (arXiv 1802.01436), a codec that is trained for its bits, on photographs.

    strata train --config configs/hyperprior/photos.py --workdir runs/hyperprior

The model has 5,075,459 parameters. Latents are rounded to integers with a learned probability
each, and the loss is lambda * 255^2 * MSE + bits per pixel. The paper's low-rate network of 128 and
192 channels with the public codes' lambda of 0.013, Adam with 1e-4 and batches of 16 crops of
256x256; the number of steps is ours. For another rate, set the weight of `l2` to lambda * ln(2) *
127.5^2 / 3: values are in [-1, 1] here, and the rate is in nats. One GPU. The data are the two
photographs that ship with scikit-learn, so that the recipe runs as it is
(--config.data.source=folder --config.data.path=photos for your own).

    strata eval --workdir runs/hyperprior --rate

measures bits per pixel and distortion. The authors' codec is close to BPG in PSNR on Kodak's
photographs, a figure that is theirs and not ours.

Deviations: see pipeline/bottlenecks/scale_hyperprior.py. `codec.compress(images)` of the exported
codec gives the bytes, about as many as the rate says, and `codec.decompress` the images.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))

LAMBDA, LOG_2 = 0.013, 0.6931471805599453


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network for a few steps."""
    config = common["defaults"]()
    config.num_steps = 1_000_000
    config.batch_size = 16
    config.ema = 0.999
    config.step = "adversarial"

    config.data.source = "sklearn_images"
    config.data.path = ""
    config.data.image_size = 256
    config.data.resize = "fit"
    config.data.crop = "random"
    config.data.flip = True
    config.data.num_workers = 0

    config.model.name = "autoencoder.Autoencoder"
    config.model.image_size = 256
    config.model.latent_channels = 192
    config.model.encoder = dict(name="gdn.Encoder", width=128)
    config.model.bottleneck = dict(name="scale_hyperprior.ScaleHyperprior", width=128)
    config.model.decoder = dict(name="gdn.Decoder", width=128)

    config.objective.l2 = dict(weight=LAMBDA * LOG_2 * 127.5**2 / 3)
    config.objective.rate = dict(weight=1.0)

    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1e-4
    config.optimizer.weight_decay = 0.0
    config.optimizer.clip_norm = 1.0

    config.eval.num_examples = 64
    config.eval.batch_size = 16
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU."""
    common["tiny"](config, batch_size=2)
    config.ema = 0.9
    config.data.image_size = 32
    config.model.image_size = 32
    config.model.latent_channels = 4
    for part in (config.model.encoder, config.model.bottleneck, config.model.decoder):
        part.width = 4
    return config
