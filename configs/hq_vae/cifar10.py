"""HQ-VAE with injected layers, SQ-VAE-2 (arXiv 2401.00365), on CIFAR-10: codes at 4x4 and at 8x8.

    strata data pack CIFAR10_IMAGE_FOLDER --out data/cifar10
    strata train --config configs/hq_vae/cifar10.py --workdir runs/hq_vae_cifar10 \\
        --config.data.path=data/cifar10

The model has 2.5M parameters. One GPU; 100 epochs. The settings come from the CIFAR-10
configuration of the authors' SQ-VAE code (2205.07547): codebooks of 512 codes of 64 numbers, s^2 =
20 at the start, Adam at 1e-3 with batches of 32, and the temperature of the Gumbel-softmax. We have
not checked the sizes of the hierarchy against the paper's appendix (Takida et al.), and know of no
figure to expect: check that codebook_perplexity stays near the number of codes.

Deviations: a cosine decay instead of a decay on plateaus, and the ones listed in
pipeline/models/hq_vae.py.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a small model on scikit-learn's photographs."""
    config = common["defaults"]()
    config.num_steps = 156_000
    config.batch_size = 32
    config.ema = 0.999

    config.data.source = "records"
    config.data.path = ""
    config.data.eval_path = ""
    config.data.image_size = 32
    config.data.eval_fraction = 0.1
    config.data.crop = "center"
    config.data.flip = False
    config.data.num_workers = 2

    config.model.name = "hq_vae.SQVAE2"
    config.model.image_size = 32
    config.model.halvings = 2
    config.model.layers = (1, 1)
    config.model.width = 128
    config.model.depth = 2
    config.model.num_codes = 512
    config.model.dim = 64
    config.model.variance = 20.0
    # exp(-1e-5 step), until it is 0.01.
    config.model.gumbel_temperature = dict(name="geometric", start=1.0, end=0.01, steps=460_517)
    config.model.likelihood = dict(name="discretized_gaussian", scale="learned", start=0.5)

    config.objective.distortion = dict(weight=1.0)
    config.objective.rate = dict(weight=1.0)
    config.objective.penalty = dict(weight=1.0)

    common["adamw"](config, learning_rate=1e-3, warmup_steps=100)
    config.optimizer.clip_norm = 0.0

    config.eval.num_examples = 5_000
    config.eval.batch_size = 50
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU."""
    common["tiny"](config)
    config.ema = 0.9
    config.data.source = "sklearn_images"
    config.data.image_size = 16
    config.data.crop = "random"
    config.data.num_workers = 0
    config.model.image_size = 16
    config.model.width = 16
    config.model.depth = 1
    config.model.num_codes = 16
    config.model.dim = 4
    config.model.variance = 1.0
    config.optimizer.warmup_steps = 2
    return config
