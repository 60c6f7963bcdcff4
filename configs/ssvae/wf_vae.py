"""SSVAE's regularizers (arXiv 2512.05394) on WF-VAE S with 16 latent channels: 147.0M parameters.

    strata train --config configs/ssvae/wf_vae.py --workdir runs/ssvae_wf_vae \\
        --config.data.path=data/kinetics400 \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

Latents near one another are made alike (local_correlation), and the decoder completes masked ones
(masking). Both weights and shares are those of the authors' code; the network, its losses, stages
and hardware are those of configs/wf_vae/s_4ch.py. The authors' own network is a DC-AE of 48
channels, trained for 150,000 steps on 32 H100 GPUs and, the decoder alone, for 50,000 at 512x512.
We know of no figure to expect of this network.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

s_4ch = run_path(str(Path(__file__).parents[1] / "wf_vae" / "s_4ch.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/wf_vae/s_4ch.py; the weights are fixed."""
    config = s_4ch["get_config"]()
    config.model.latent_channels = 16

    config.objective.local_correlation = ConfigDict()
    config.objective.local_correlation.weight = 0.002
    config.objective.local_correlation.threshold = 0.75
    config.objective.local_correlation.window = (2, 2, 2)
    config.objective.local_correlation.kernel = "encoder.conv_out.kernel"

    config.regularizers = ConfigDict()
    config.regularizers.masking = ConfigDict()
    config.regularizers.masking.ratios = (0.0, 0.25, 0.5, 0.75)
    config.regularizers.masking.probabilities = (0.7, 0.1, 0.1, 0.1)
    config.regularizers.masking.block = (1, 1, 1)
    if arg == "tiny":
        s_4ch["tiny"](config)
        config.objective.local_correlation.window = (1, 2, 2)
        # Two gradients more would be half of the program.
        config.objective.local_correlation.adaptive = False
    return config
