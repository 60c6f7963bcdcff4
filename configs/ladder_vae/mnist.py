"""Ladder VAE (arXiv 1602.02282) on binarised MNIST: 5 layers of latents, Bernoulli pixels.

    strata train --config configs/ladder_vae/mnist.py --workdir runs/ladder_vae_mnist \\
        --config.data.path=mnist.npz

The model has 1.7M parameters. The file holds `images` [n 28 28] uint8. Pixels are drawn anew in
each epoch, with their grey values as probabilities; a sixth of the images is held out for
evaluation and binarised once. Training takes 2,000 epochs, and the weight of the KL grows over the
first 200. Expected figure, the paper's (Sønderby et al.) and not ours: 82.12 nats
(importance-weighted bound of 5,000 samples, test images). docs/benchmarks/hierarchies.md has a run
of minutes on two CPU cores, and the same run with bottom-up inference (mnist_bottom_up.py).
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on scikit-learn's digits."""
    epoch = 50_000 // 256
    config = common["defaults"]()
    config.num_steps = 2000 * epoch
    config.batch_size = 256
    # No EMA: batch norm's running statistics belong to the last weights
    # (docs/benchmarks/hierarchies.md).
    config.ema = 0.0

    common["mnist"](config)

    config.model.name = "ladder_vae.LadderVAE"
    config.model.image_size = 28
    config.model.image_channels = 1
    config.model.latent_dims = (64, 32, 16, 8, 4)
    config.model.widths = (512, 256, 128, 64, 32)
    config.model.likelihood = "bernoulli"

    config.objective.distortion = dict(weight=1.0)
    config.objective.rate = ConfigDict()
    config.objective.rate.weight = dict(name="linear", steps=200 * epoch)

    common["adamw"](config, learning_rate=1e-3, warmup_steps=0)
    config.optimizer.decay = "constant"

    config.checkpoint.every = 10_000
    config.eval.every = 10_000
    config.eval.num_examples = 10_000
    config.eval.batch_size = 256
    config.sample.every = 10_000
    config.sample.num = 64
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU."""
    common["tiny"](config)
    config.data.source = "digits"
    config.data.image_size = 8
    config.model.image_size = 8
    config.model.latent_dims = (4, 3, 2)
    config.model.widths = (16, 12, 8)
    config.objective.rate.weight.steps = 2
    return config
