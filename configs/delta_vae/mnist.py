"""A small delta-VAE (arXiv 1901.03416) on binarised MNIST: a KL that cannot collapse.

    strata train --config configs/delta_vae/mnist.py --workdir runs/delta_vae \\
        --config.data.path=mnist.npz

The model has 406K parameters: two latents for each of 28 rows, an encoder in which each sees its
row and those after it, and an autoregressive decoder of rows. Under the AR(1) prior with alpha=0.8
the KL is at least 13.88 nats, the committed rate of 28 rows and two channels. The file holds
`images` [n 28 28] uint8. Pixels are drawn anew in each epoch, with their grey values as
probabilities; a sixth of the images is held out for evaluation and binarised once.

One CPU or GPU is enough. The paper has no MNIST: its figures, 2.83 bits/dim on CIFAR-10 and 3.77 on
ImageNet 32x32, are of networks with attention, and of a prior fitted to the latents afterwards,
which this recipe has not.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on scikit-learn's digits."""
    config = common["defaults"]()
    config.num_steps = 50_000
    config.batch_size = 100
    config.ema = 0.999

    common["mnist"](config)

    config.model.name = "row_vae.RowVAE"
    config.model.image_size = 28
    config.model.image_channels = 1
    config.model.latent_channels = 2
    config.model.hidden = 128
    config.model.depth = 4
    config.model.likelihood = dict(name="bernoulli", binarize=True)
    config.model.prior = dict(name="ar1.AR1", alpha=0.8)

    config.objective.distortion = dict(weight=1.0)
    config.objective.rate = dict(weight=1.0)

    common["adamw"](config, learning_rate=1e-3, warmup_steps=100)

    config.eval.num_examples = 3_000
    config.eval.batch_size = 64
    config.sample.num = 64
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU."""
    common["tiny"](config)
    config.ema = 0.9
    config.data.source = "digits"
    config.data.image_size = 8
    config.model.image_size = 8
    config.model.hidden = 16
    config.model.depth = 2
    config.optimizer.warmup_steps = 2
    return config
