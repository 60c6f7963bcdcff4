"""A discrete video tokenizer: WF-VAE S (arXiv 2411.17459) with a fixed grid of codes (FSQ).

    strata train --config configs/wf_vae/fsq.py --workdir runs/wf_vae_fsq \\
        --config.data.path=data/kinetics400 \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The model has 146,496,706 parameters. Each 4x8x8 pixels of a clip become one of 64,000 codes: 8, 8,
8, 5, 5 and 5 levels of six numbers, the largest grid of the FSQ paper (arXiv 2309.15505, section
4.1). Network, data and schedule are those of configs/wf_vae/s_4ch.py, without its KL. It is no
published codec, and we know of no figure to expect.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

s_4ch = run_path(str(Path(__file__).with_name("s_4ch.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/wf_vae/s_4ch.py, with four numbers a code."""
    config = s_4ch["get_config"](arg)
    levels = (8, 5, 5, 5) if arg == "tiny" else (8, 8, 8, 5, 5, 5)
    config.model.latent_channels = len(levels)
    config.model.bottleneck = dict(name="fsq.FSQ", levels=levels)
    del config.objective.rate
    return config
