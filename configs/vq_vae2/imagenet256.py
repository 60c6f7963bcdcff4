"""VQ-VAE-2 (arXiv 1906.00446): 1,388,867 parameters, 32x32 and 64x64 codes of 512 to an image.

    strata train --config configs/vq_vae2/imagenet256.py --workdir runs/vq_vae2_imagenet256 \\
        --config.data.path=data/imagenet

The codebooks are moving averages and no parameters. The authors released no code: the sizes, the
mean squared error, the commitment of both layers with the weight 0.25, and Adam with 3e-4 and
batches of 128 are those of the best known port (rosinality's vq-vae-2-pytorch). The number of steps
is ours, 100 epochs of ImageNet. One node of 8 GPUs. Our term is a mean over the layers, so that its
weight is twice that of their sum. We know of no figure to expect: check that codebook_perplexity of
both layers stays in the hundreds.

Deviations: those of pipeline/codebooks/moving_average.py, among them that codes which the first
batch does not use keep their place; in the port they are thrown out to 10^5 times their norm.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on scikit-learn's photographs."""
    config = common["defaults"]()
    config.num_steps = 1_000_000
    config.batch_size = 128
    config.ema = 0.0
    config.step = "adversarial"

    config.data.source = "folder"
    config.data.path = ""
    config.data.image_size = 256
    config.data.resize = "fit"
    config.data.crop = "center"
    config.data.flip = False
    config.data.num_workers = 16

    config.model.name = "vq_vae2.VQVAE2"
    config.model.image_size = 256
    config.model.latent_channels = 64
    config.model.width = 128
    config.model.hidden = 32
    config.model.depth = 2
    config.model.bottleneck = ConfigDict()
    config.model.bottleneck.name = "vq.VQ"
    config.model.bottleneck.num_codes = 512
    config.model.bottleneck.codebook = dict(
        name="moving_average.MovingAverage", decay=0.99, smoothing=1e-5
    )

    config.objective.l2 = dict(weight=1.0)
    config.objective.commitment = dict(weight=0.5)

    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 3e-4
    config.optimizer.weight_decay = 0.0

    config.eval.num_examples = 1_000
    config.eval.batch_size = 32
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU."""
    common["tiny"](config)
    config.data.source = "sklearn_images"
    config.data.image_size = 16
    config.data.crop = "random"
    config.data.num_workers = 0
    config.model.image_size = 16
    config.model.latent_channels = 4
    config.model.width = 8
    config.model.hidden = 4
    config.model.depth = 0
    config.model.bottleneck.num_codes = 16
    return config
