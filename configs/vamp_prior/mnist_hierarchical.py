"""The two-level VAE with a VampPrior (arXiv 1705.07120, section 3) on binarised MNIST.

    strata train --config configs/vamp_prior/mnist_hierarchical.py --workdir runs/vamp_two_levels \\
        --config.data.path=mnist.npz
    strata eval --workdir runs/vamp_two_levels --num_importance_samples 5000

The model has 2.8M parameters, 392,000 of them pseudo-inputs, in the authors' gated dense layers of
300 units and two levels of 40 latents. Data and training are those of configs/vamp_prior/mnist.py.
One CPU or GPU is enough. Expected figures, the paper's and not ours, on statically binarised MNIST
(importance-weighted bound of 5,000 samples): 83.19 nats, and 86.05 with N(0, 1) on top.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

flat = run_path(str(Path(__file__).with_name("mnist.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on scikit-learn's digits."""
    config = flat["get_config"](arg)
    flat_model = config.model
    config.model = ConfigDict()
    config.model.name = "two_level_vae.TwoLevelVAE"
    config.model.image_size = flat_model.image_size
    config.model.image_channels = 1
    config.model.latent_dims = (4, 4) if arg == "tiny" else (40, 40)
    config.model.hidden = 16 if arg == "tiny" else 300
    config.model.likelihood = "bernoulli"
    config.model.prior = flat_model.prior
    return config
