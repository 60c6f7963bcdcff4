"""A VAE whose prior is a diffusion model (arXiv 2106.15671) on binarised MNIST.

    strata train --config configs/diffusion_prior/mnist.py --workdir runs/diffusion_prior \\
        --config.data.path=mnist.npz
    strata eval --workdir runs/diffusion_prior

The model has 3.7M parameters. It is configs/vamp_prior/mnist.py with a network of three
layers that predicts the noise of a latent, trained jointly with the rest: the paper's
unweighted error for the prior, and the bound on log p(z) for the encoder. In two stages, the prior
learns the latents of a trained VAE (configs/vamp_prior/mnist.py with `--config.model.prior=None`):

    strata export --workdir runs/vae --out vae/
    strata train --config configs/diffusion_prior/mnist.py --workdir runs/two_stage \\
        --config.data.path=mnist.npz --config.init.codec=vae/ \\
        --config.init.arrays="('encoder', 'decoder')" --config.trainable="('prior',)"

The rate is a bound with one time an example, and noisy; evaluation averages it over the images.
`--num_importance_samples` solves the probability flow for every sample, and is slow. One GPU is
enough. The paper has no figure for this network.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

vamp = run_path(str(Path(__file__).parents[1] / "vamp_prior" / "mnist.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on scikit-learn's digits."""
    config = vamp["get_config"](arg)
    sizes = dict(depth=2, width=16) if arg == "tiny" else dict(depth=3, width=512)
    # Assigned as a whole: setting a dict merges it into the one that is there.
    del config.model["prior"]
    config.model.prior = dict(
        name="diffusion.DiffusionPrior",
        denoiser=dict(name="mlp.SkipMLP", **sizes),
        # The network alone: the share of N(0, 1)'s score is 2e-9.
        mixing=20.0,
        weighting="noise",
        times="signal",
        earliest=0.001,
    )
    return config
