"""The Cosmos tokenizer CV8x16x16 (arXiv 2501.03575): 110,898,624 parameters, 8x16x16 pixels to 16
numbers.

    strata train --config configs/cosmos/cv8x16x16.py --workdir runs/cosmos_cv8x16x16 \\
        --config.data.path=videos \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The network is the authors', and causal both ways; the cache of a stream holds keys and values of
all earlier latent frames. It has no variance. The authors publish no training code: the settings
are ours (configs/published_video.py), for about 8 GPUs of 80 GB, and we know of no figure to
expect. To go on from the published weights, import them (docs/codecs.md).
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

cv8x8x8 = run_path(str(Path(__file__).with_name("cv8x8x8.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on moving crops."""
    config = cv8x8x8["get_config"](arg)
    for network in (config.model.encoder, config.model.decoder):
        network.halvings = (1, 2)
    return config
