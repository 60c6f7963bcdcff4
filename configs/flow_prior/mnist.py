"""A VAE whose prior is a RealNVP flow (arXiv 1605.08803, 1611.02731) on binarised MNIST.

    strata train --config configs/flow_prior/mnist.py --workdir runs/flow_prior \\
        --config.data.path=mnist.npz
    strata eval --workdir runs/flow_prior --num_importance_samples 5000

The model has 2.1M parameters. It is configs/vamp_prior/mnist.py with eight couplings of 256 hidden
units as the prior, trained with the rest. --config.model.prior.flow.name=glow.Glow or
autoregressive.MAF is another flow. One GPU is enough. We know of no figure for this network.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

vamp = run_path(str(Path(__file__).parents[1] / "vamp_prior" / "mnist.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on scikit-learn's digits."""
    config = vamp["get_config"](arg)
    sizes = dict(depth=2, hidden=8) if arg == "tiny" else dict(depth=8, hidden=256)
    flow = dict(name="coupling.RealNVP", **sizes)
    # Assigned as a whole: setting a dict merges it into the one that is there.
    del config.model["prior"]
    config.model.prior = dict(name="flow.FlowPrior", flow=flow)
    return config
