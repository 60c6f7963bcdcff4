"""LDM's VQ-f4 (arXiv 2112.10752, table 8): 55,322,782 parameters, 4x4 pixels to one of 8,192 codes.

    strata train --config configs/vqgan/vq_f4.py --workdir runs/vqgan_vq_f4 \\
        --config.data.path=data/openimages \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

An image of 256x256 becomes 64x64 indices of 13 bits; the codes have 3 numbers. The rest is as in
configs/vqgan/f16_1024.py, and so are the deviations. The authors trained on OpenImages.

Expected figures on ImageNet's validation set at 256x256, the authors' and not ours: rFID 0.58, PSNR
27.43 dB.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

vqgan = run_path(str(Path(__file__).with_name("f16_1024.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/vqgan/f16_1024.py."""
    config = vqgan["get_config"]()
    config.model.latent_channels = 3
    config.model.bottleneck.num_codes = 8_192
    for network in (config.model.encoder, config.model.decoder):
        network.channels = (128, 256, 512)
        network.attention_levels = ()
    config.objective.adversarial.weight = 0.75
    config.objective.adversarial.start = 0
    return vqgan["tiny"](config) if arg == "tiny" else config
