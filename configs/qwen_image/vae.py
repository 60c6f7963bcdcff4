"""The codec of Qwen-Image (arXiv 2508.02324): 126,892,531 parameters, of the form of Wan 2.1's.

    strata train --config configs/qwen_image/vae.py --workdir runs/qwen_image \\
        --config.data.path=videos \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The authors kept the encoder of Wan 2.1 and fine-tuned the decoder on images and text; here the
decoder alone is trained, too, once `config.init` names a codec. Their data and settings are not
published: these are ours, and we know of no figure to expect.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

wan21 = run_path(str(Path(__file__).parents[1] / "wan" / "wan21.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/wan/wan21.py."""
    return wan21["get_config"](arg)
