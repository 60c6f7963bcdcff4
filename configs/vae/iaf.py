"""A VAE whose posterior is an inverse autoregressive flow (arXiv 1606.04934), on 8x8 digits.

    strata train --config configs/vae/iaf.py --workdir runs/vae_iaf

The model has 223K parameters. It is configs/vae/digits.py with four steps of IAF after the
Gaussian. The paper's steps also get a context from the encoder; here the same flow serves every
image. configs/iaf_vae/cifar10.py is the paper's deep model, with convolutional flows and a context.

No figure of ours is known yet: the flow is to be compared with the same recipe without one.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

digits = run_path(str(Path(__file__).with_name("digits.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrower network and a smaller flow for a few steps."""
    config = digits["get_config"](arg)
    config.model.flow = dict(name="autoregressive.IAF", depth=4, hidden=64)
    if arg == "tiny":
        config.model.flow = dict(name="autoregressive.IAF", depth=2, hidden=8)
    return config
