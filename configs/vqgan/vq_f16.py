"""LDM's VQ-f16 (arXiv 2112.10752, table 8): 69,593,371 parameters, 16x16 pixels to one code.

    strata train --config configs/vqgan/vq_f16.py --workdir runs/vqgan_vq_f16 \\
        --config.data.path=data/openimages \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

An image of 256x256 becomes 16x16 indices of 14 bits; the codes have 8 numbers. The rest is as in
configs/vqgan/f16_1024.py, and so are the deviations. The authors trained on OpenImages.

Expected figures on ImageNet's validation set at 256x256, the authors' and not ours: rFID 5.15, PSNR
20.83 dB.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

vqgan = run_path(str(Path(__file__).with_name("f16_1024.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/vqgan/f16_1024.py."""
    config = vqgan["get_config"]()
    config.model.latent_channels = 8
    config.model.bottleneck.num_codes = 16_384
    config.objective.adversarial.weight = 0.75
    config.discriminator.num_layers = 2
    return vqgan["tiny"](config) if arg == "tiny" else config
