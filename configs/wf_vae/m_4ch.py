"""WF-VAE M (arXiv 2411.17459) with 4 latent channels: 223.3M parameters.

    strata train --config configs/wf_vae/m_4ch.py --workdir runs/wf_vae_m_4ch \\
        --config.data.path=data/kinetics400 \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

Stages, hardware and deviations are as in configs/wf_vae/s_4ch.py.
Expected figure, the paper's and not ours: 28.44 dB on Kinetics-400 (S: 28.21 dB).
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

s_4ch = run_path(str(Path(__file__).with_name("s_4ch.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/wf_vae/s_4ch.py."""
    config = s_4ch["get_config"]()
    config.model.encoder.base_channels = 160
    config.model.decoder.base_channels = 160
    config.model.latent_channels = 4
    return s_4ch["tiny"](config) if arg == "tiny" else config
