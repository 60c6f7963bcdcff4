"""The Cosmos tokenizer CV4x8x8 (arXiv 2501.03575): 104,669,888 parameters, 4x8x8 pixels to 16
numbers.

    strata train --config configs/cosmos/cv4x8x8.py --workdir runs/cosmos_cv4x8x8 \\
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

video = run_path(str(Path(__file__).parents[1] / "published_video.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on moving crops."""
    config = video["defaults"]()
    config.model.latent_channels = 16
    config.model.quant_convs = True
    config.model.encoder = ConfigDict()
    config.model.encoder.name = "video.cosmos.Encoder"
    config.model.encoder.channels = (128, 256, 512, 512)
    config.model.encoder.num_blocks = 2
    config.model.encoder.patch = 4
    config.model.encoder.halvings = (0, 1)
    config.model.bottleneck = dict(name="identity.Identity")
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "video.cosmos.Decoder"
    config.model.decoder.channels = (512, 512, 512, 256)
    config.model.decoder.num_blocks = 3
    config.model.decoder.patch = 4
    config.model.decoder.halvings = (0, 1)
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink to clips of 5 frames of 16x16, without residual blocks but in the middle."""
    video["tiny"](config, image_size=16, num_frames=5)
    config.model.latent_channels = 2
    for network in (config.model.encoder, config.model.decoder):
        network.channels = (4, 4, 4)
        network.num_blocks = 0
        network.patch = 2
    return config
