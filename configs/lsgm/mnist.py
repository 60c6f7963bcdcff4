"""LSGM (arXiv 2106.05931) with one latent vector, on binarised MNIST.

    strata train --config configs/lsgm/mnist.py --workdir runs/lsgm --config.data.path=mnist.npz
    strata eval --workdir runs/lsgm

The model has 3.7M parameters: configs/vamp_prior/mnist.py with a diffusion prior of a mixed score,
which begins as N(0, 1) (`mixing`), and is trained jointly with encoder and decoder by one ELBO, the
times drawn for its weighting. From the paper are the path, its first time 0.01, the mixing, and the
weight of the rate, which rises from 0.7 to 1 in the first tenth of the run. Their network is an
NVAE with 2 groups of 20 maps whose VAE is trained alone at first, on which they report 78.47 nats;
ours is a small convolutional VAE.

With `--config.model.prior.weighting=noise --config.model.prior.times=signal` the prior learns from
the unweighted error, which the paper recommends for the quality of samples. One GPU is enough.
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
        mixing=-6.0,
        weighting="likelihood",
        times="log_variance",
        earliest=0.01,
    )
    if arg != "tiny":
        config.objective.rate.weight = dict(
            name="linear", start=0.7, end=1.0, steps=config.num_steps // 10
        )
    return config
