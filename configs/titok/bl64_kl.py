"""TiTok BL-64 in its KL form (arXiv 2406.07550): 389,418,100 parameters, an image to 64 tokens.

    strata train --config configs/titok/bl64_kl.py --workdir runs/titok_bl64_kl \\
        --config.data.path=data/imagenet \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The transformers of TiTok, the base one in the encoder and the large one in the decoder, around
Gaussian latents of 16 numbers a token. Pixels are decoded by a linear layer and a 3x3 convolution,
in one stage and without another tokenizer's codes. ll32_kl.py and bl128_kl.py have other sizes.

The authors' code names the networks and gives the figures. The loss, the optimizer and the number
of steps here are those of the second stage of configs/titok/l32.py, with a KL of weight 1e-6: ours.

Expected figure on ImageNet's validation set at 256x256, the authors' and not ours: rFID 1.25.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

l32 = run_path(str(Path(__file__).with_name("l32.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` has one block on either side."""
    config = l32["get_config"]()
    config.num_steps = 500_000
    config.stages = []
    config.model = ConfigDict()
    config.model.name = "titok.TiTokKL"
    config.model.image_size = 256
    config.model.patch = 16
    config.model.num_tokens = 64
    config.model.latent_channels = 16
    config.model.encoder_size = dict(width=768, depth=12, heads=12)
    config.model.decoder_size = dict(width=1_024, depth=24, heads=16)
    config.model.bottleneck = dict(name="gaussian.Gaussian")

    adversarial = config.objective.adversarial
    config.objective = ConfigDict()
    config.objective.l2 = dict(weight=1.0)
    config.objective.perceptual = dict(weight=0.1, network="vgg16", weights="", heads="")
    config.objective.rate = dict(weight=1e-6)
    config.objective.adversarial = adversarial
    config.objective.adversarial.start = 20_000
    config.optimizer.b2 = 0.999
    config.optimizer.frozen = ()
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink every KL form to the same network, without a discriminator."""
    l32["common"]["tiny"](config, batch_size=4)
    config.ema = 0.9
    config.data.source = "sklearn_images"
    config.data.image_size = 16
    config.data.num_workers = 0
    config.model.image_size = 16
    config.model.patch = 4
    config.model.num_tokens = 4
    config.model.latent_channels = 4
    config.model.encoder_size = dict(width=16, depth=1, heads=2)
    config.model.decoder_size = dict(width=16, depth=1, heads=2)
    config.objective.perceptual.weight = 0.0
    config.objective.adversarial.weight = 0.1
    config.objective.adversarial.start = config.num_steps
    config.discriminator.channels = 8
    config.discriminator.num_layers = 1
    config.optimizer.warmup_steps = 2
    return config
