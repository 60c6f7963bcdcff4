"""A VAE whose posterior is a Glow flow (arXiv 1807.03039), on scikit-learn's 8x8 digits.

    strata train --config configs/vae/glow.py --workdir runs/vae_glow

The model has 221K parameters. It is configs/vae/digits.py with four steps of flow after the
Gaussian. The paper models images with convolutions at several scales; here the steps map vectors of
latents, and the same flow serves every image. The scale and shift of each step start as the
identity and not from a first batch.

No figure of ours is known yet: the flow is to be compared with the same recipe without one.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

digits = run_path(str(Path(__file__).with_name("digits.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrower network and a smaller flow for a few steps."""
    config = digits["get_config"](arg)
    config.model.flow = dict(name="glow.Glow", depth=4, hidden=64)
    if arg == "tiny":
        config.model.flow = dict(name="glow.Glow", depth=2, hidden=8)
    return config
