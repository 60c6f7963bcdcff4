"""The network of PH-VAE with a Gaussian likelihood, for comparison: 2,596 parameters.

    strata train --config configs/ph_vae/lognormal_gaussian.py --workdir runs/gaussian

Data, network and optimizer are those of lognormal.py.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

lognormal = run_path(str(Path(__file__).parent / "lognormal.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is that of lognormal.py."""
    config = lognormal["get_config"]()
    config.model.likelihood = dict(name="gaussian")
    return lognormal["tiny"](config) if arg == "tiny" else config
