"""A VAE whose posterior is a masked autoregressive flow (arXiv 1705.07057), on 8x8 digits.

    strata train --config configs/vae/maf.py --workdir runs/vae_maf

The model has 220K parameters. It is configs/vae/digits.py with two steps of MAF after the Gaussian.
A sample takes as many passes as there are latents, 8; the paper uses MAF for density estimation,
which takes one. There is no batch norm between steps, and the same flow serves every image.

No figure of ours is known yet: the flow is to be compared with the same recipe without one.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

digits = run_path(str(Path(__file__).with_name("digits.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrower network and a smaller flow for a few steps."""
    config = digits["get_config"](arg)
    config.model.flow = dict(name="autoregressive.MAF", depth=2, hidden=64)
    if arg == "tiny":
        config.model.flow = dict(name="autoregressive.MAF", depth=2, hidden=8)
    return config
