"""The VAE of Burgess et al. (arXiv 1804.03599, appendix A) on MNIST enlarged to 32x32.

    strata train --config configs/vae/mnist.py --workdir runs/vae_mnist \\
        --config.data.path=mnist.npz

The model has 469K parameters. The network has 10 latents and Bernoulli pixels. The file holds
`images` [n 28 28] uint8. For a beta-VAE, set --config.objective.rate.weight=4. For a capacity that
grows (their eq. 7), set config.objective.capacity = dict(weight=1000.0, target=dict(name="linear",
end=25.0, steps=100000)) in place of the rate.

Grey values count as probabilities, as in most papers, so that nats per image compare with theirs
and bits per dimension with nothing.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on scikit-learn's digits."""
    config = common["defaults"]()
    config.num_steps = 50_000
    config.batch_size = 64
    config.ema = 0.999

    config.data.source = "arrays"
    config.data.path = ""
    config.data.image_size = 32
    config.data.channels = 1
    config.data.resize = "fit"
    config.data.num_workers = 0

    config.model.name = "vae.VAE"
    config.model.image_size = 32
    config.model.image_channels = 1
    config.model.latent_dim = 10
    config.model.channels = (32, 32, 32)
    config.model.hidden = (256, 256)
    config.model.depth = 0
    config.model.likelihood = "bernoulli"
    config.model.input_range = (0.0, 1.0)

    config.objective.distortion = dict(weight=1.0)
    config.objective.rate = dict(weight=1.0)

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
    config.model.channels = (4, 4, 4)
    config.model.hidden = (16, 16)
    config.optimizer.warmup_steps = 2
    return config
