"""VA-VAE f16d32 (arXiv 2501.01423): 69,836,067 parameters, 16x16 pixels to 32 numbers.

    strata train --config configs/va_vae/f16d32.py --workdir runs/va_vae_f16d32 \\
        --config.data.path=data/imagenet \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth \\
        --config.objective.vf.teacher.weights=dinov2_vitl14_pretrain.pth

The network of configs/kl/f16_d16.py with 32 channels of latents, which a linear layer maps to the
features of a frozen DINOv2-L (`vf`). The settings are the authors': 130 epochs of ImageNet in
batches of 256 on 32 GPUs, Adam at 1e-4, a KL of weight 1e-6; the weight of the alignment falls
after 100 epochs, and its margins open after 115. They start the discriminator at step 5,001 of both
optimizers' updates counted together, which is 2,500 batches.

Deviations: each step trains the autoencoder and the discriminator on the same batch, and the
discriminator normalises each example separately (--config.discriminator.norm=batch is what the
authors do).

Expected figure on ImageNet's validation set at 256x256, the authors' and not ours: rFID 0.28.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

f16 = run_path(str(Path(__file__).parents[1] / "kl" / "f16_d16.py"))
EPOCH = 1_281_167 // 256  # steps for all of ImageNet


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` has no teacher."""
    config = f16["get_config"]()
    config.num_steps = 130 * EPOCH
    config.batch_size = 256
    config.model.latent_channels = 32
    config.objective.vf = ConfigDict()
    config.objective.vf.weight = 0.5
    config.objective.vf.teacher = dict(name="dinov2", weights="", size=224)
    config.objective.vf.teacher_channels = 1_024
    config.objective.vf.cosine_margin = 0.0
    config.objective.vf.distance_margin = 0.0
    config.objective.adversarial.start = 2_500
    config.optimizer.learning_rate = 1e-4
    margins = {"objective.vf.cosine_margin": 0.5, "objective.vf.distance_margin": 0.25}
    config.stages = [
        {"num_steps": 100 * EPOCH},
        {"num_steps": 15 * EPOCH, "objective.vf.weight": 0.1},
        {"num_steps": 15 * EPOCH, "objective.vf.weight": 0.1, **margins},
    ]
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink to the network of configs/kl/f4.py:tiny in one stage, without a teacher."""
    f16["f4"]["tiny"](config)
    config.objective.vf.weight = 0.0
    config.stages = []
    return config
