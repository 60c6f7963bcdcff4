"""WF-VAE L (arXiv 2411.17459) with 4 latent channels: 316.3M parameters.

    strata train --config configs/wf_vae/l_4ch.py --workdir runs/wf_vae_l_4ch \\
        --config.data.path=data/kinetics400 \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

Stages, hardware and deviations are as in configs/wf_vae/s_4ch.py. Expected figures, the paper's and
not ours, of 33 frames at 256x256: WebVid 32.32 dB, Panda70M 32.10 dB.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

s_4ch = run_path(str(Path(__file__).with_name("s_4ch.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/wf_vae/s_4ch.py."""
    config = s_4ch["get_config"]()
    config.model.encoder.base_channels = 192
    config.model.decoder.base_channels = 192
    config.model.latent_channels = 4
    return s_4ch["tiny"](config) if arg == "tiny" else config
