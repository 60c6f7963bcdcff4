"""A VAE whose posterior is a RealNVP flow (arXiv 1605.08803), on scikit-learn's 8x8 digits.

    strata train --config configs/vae/realnvp.py --workdir runs/vae_realnvp

The model has 220K parameters. It is configs/vae/digits.py with four affine couplings after the
Gaussian. The paper models images with couplings of convolutions; here they map vectors of latents,
with one hidden layer each, and the same flow serves every image.

No figure of ours is known yet: the flow is to be compared with the same recipe without one.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

digits = run_path(str(Path(__file__).with_name("digits.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrower network and a smaller flow for a few steps."""
    config = digits["get_config"](arg)
    config.model.flow = dict(name="coupling.RealNVP", depth=4, hidden=64)
    if arg == "tiny":
        config.model.flow = dict(name="coupling.RealNVP", depth=2, hidden=8)
    return config
