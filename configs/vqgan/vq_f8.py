"""LDM's VQ-f8 (arXiv 2112.10752, table 8): 67,717,295 parameters, 8x8 pixels to one code.

    strata train --config configs/vqgan/vq_f8.py --workdir runs/vqgan_vq_f8 \\
        --config.data.path=data/openimages \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

An image of 256x256 becomes 32x32 indices of 14 bits; the codes have 4 numbers. The rest is as in
configs/vqgan/f16_1024.py, and so are the deviations. The authors trained on OpenImages.

Expected figures on ImageNet's validation set at 256x256, the authors' and not ours: rFID 1.14, PSNR
23.07 dB.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

vqgan = run_path(str(Path(__file__).with_name("f16_1024.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/vqgan/f16_1024.py."""
    config = vqgan["get_config"]()
    config.model.latent_channels = 4
    config.model.bottleneck.num_codes = 16_384
    for network in (config.model.encoder, config.model.decoder):
        network.channels = (128, 256, 256, 512)
        network.attention_levels = (3,)
    config.objective.adversarial.weight = 0.6
    config.objective.adversarial.start = 0
    config.discriminator.num_layers = 2
    return vqgan["tiny"](config) if arg == "tiny" else config
