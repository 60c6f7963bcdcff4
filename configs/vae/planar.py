"""A VAE whose posterior is a planar flow (arXiv 1505.05770), on scikit-learn's 8x8 digits.

    strata train --config configs/vae/planar.py --workdir runs/vae_planar

The model has 217K parameters. It is configs/vae/digits.py with sixteen planar steps after the
Gaussian. We deviate: the flow's parameters are the same for every image, where the paper's are
outputs of the encoder, and the free energy is not annealed.

No figure of ours is known yet: the flow is to be compared with the same recipe without one.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

digits = run_path(str(Path(__file__).with_name("digits.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrower network and a smaller flow for a few steps."""
    config = digits["get_config"](arg)
    config.model.flow = dict(name="planar.Planar", depth=16)
    if arg == "tiny":
        config.model.flow = dict(name="planar.Planar", depth=2)
    return config
