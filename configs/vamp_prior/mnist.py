"""A VAE with a VampPrior (arXiv 1705.07120) on binarised MNIST.

    strata train --config configs/vamp_prior/mnist.py --workdir runs/vamp_prior \\
        --config.data.path=mnist.npz
    strata eval --workdir runs/vamp_prior --num_importance_samples 5000

The model has 2.4M parameters, 392,000 of them pseudo-inputs: convolutions where the paper has gated
dense layers, and its 40 latents, 500 pseudo-inputs and warm-up of 100 epochs. The file holds
`images` [n 28 28] uint8. Pixels are drawn anew in each epoch, with their grey values as
probabilities; a sixth of the images is held out for evaluation and binarised once.

With `--config.model.prior=None` the prior is N(0, 1). One GPU is enough; 500 pseudo-inputs cost as
much as five batches in the encoder. Expected figures, the paper's and not ours, of its dense
network on statically binarised MNIST (importance-weighted bound of 5,000 samples): 85.57 nats, and
88.56 with N(0, 1). The authors divide the gradient of each array by its norm before Adam, train for
up to 2,000 epochs and stop early; none of this is done here.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on scikit-learn's digits."""
    config = common["defaults"]()
    config.num_steps = 250_000
    config.batch_size = 100
    config.ema = 0.999

    common["mnist"](config)

    config.model.name = "vae.VAE"
    config.model.image_size = 28
    config.model.image_channels = 1
    config.model.latent_dim = 40
    config.model.channels = (32, 64)
    config.model.hidden = (300,)
    config.model.depth = 0
    config.model.likelihood = "bernoulli"
    config.model.input_range = (0.0, 1.0)
    config.model.prior = dict(name="vamp.VampPrior", num_pseudo_inputs=500)

    config.objective.distortion = dict(weight=1.0)
    config.objective.rate = dict(weight=dict(name="linear", start=0.0, end=1.0, steps=50_000))

    common["adamw"](config, learning_rate=5e-4, warmup_steps=100)
    config.optimizer.decay = "constant"

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
    config.model.latent_dim = 4
    config.model.channels = (4, 4)
    config.model.hidden = (16,)
    config.model.prior.num_pseudo_inputs = 5
    config.objective.rate = dict(weight=1.0)
    config.optimizer.warmup_steps = 2
    return config
