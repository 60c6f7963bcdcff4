"""WF-VAE S (arXiv 2411.17459) with 8 latent channels: 146.7M parameters.

    strata train --config configs/wf_vae/s_8ch.py --workdir runs/wf_vae_s_8ch \\
        --config.data.path=data/kinetics400 \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

Stages, hardware and deviations are as in configs/wf_vae/s_4ch.py.
The paper has no figure for 8 channels.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

s_4ch = run_path(str(Path(__file__).with_name("s_4ch.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/wf_vae/s_4ch.py."""
    config = s_4ch["get_config"]()
    config.model.latent_channels = 8
    return s_4ch["tiny"](config) if arg == "tiny" else config
