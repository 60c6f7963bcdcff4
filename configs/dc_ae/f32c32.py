"""DC-AE f32c32 (arXiv 2410.10733): 323,356,460 parameters, 32x32 pixels to 32 numbers.

    strata train --config configs/dc_ae/f32c32.py --workdir runs/dc_ae_f32c32 \\
        --config.data.path=data/imagenet \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

It is an autoencoder: nothing is paid for the rate of its
latents. The loss is L1 + LPIPS, and the authors add a discriminator last, for the decoder's head.
Ours: the discriminator of configs/kl_f8/sd.py from step 200,000 on, for the whole decoder; AdamW at
1e-4; batch 64; 250,000 steps. The paper's three phases (low resolution, high resolution for the
latents' end, and the adversarial one) can be continued with --config.data.image_size=1024 and
`config.init`. The authors released no code of the training, no hardware and no time.

The decoder has batch norm at its three highest resolutions: in training it normalizes by the batch,
and its running statistics belong to the raw weights, so that there is no EMA.

We know of no figure to expect of this training. To import the authors' weights: strata import
--from diffusers DIR --out CODEC.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

sd = run_path(str(Path(__file__).parents[1] / "kl_f8" / "sd.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network of three resolutions."""
    config = sd["get_config"]()
    config.num_steps = 250_000
    config.batch_size = 64
    config.ema = 0.0

    config.model = ConfigDict()
    config.model.name = "autoencoder.Autoencoder"
    config.model.image_size = 256
    config.model.latent_channels = 32
    config.model.remat = True
    config.model.encoder = ConfigDict()
    config.model.encoder.name = "dc_ae.Encoder"
    config.model.encoder.channels = (128, 256, 512, 512, 1024, 1024)
    config.model.encoder.depths = (0, 4, 8, 2, 2, 2)
    config.model.encoder.attention_levels = (3, 4, 5)
    config.model.bottleneck = dict(name="identity.Identity")
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "dc_ae.Decoder"
    config.model.decoder.channels = (128, 256, 512, 512, 1024, 1024)
    config.model.decoder.depths = (0, 5, 10, 2, 2, 2)
    config.model.decoder.attention_levels = (3, 4, 5)
    config.model.decoder.batch_norm_levels = (0, 1, 2)
    config.model.decoder.relu_levels = (0, 1, 2)

    config.objective.rate.weight = 0.0
    config.objective.adversarial.start = 200_000

    config.optimizer.learning_rate = 1e-4
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.999
    config.optimizer.eps = 1e-8

    config.eval.batch_size = 64
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU, without the discriminator."""
    config.model.encoder = ConfigDict(dict(name="dc_ae.Encoder"))
    config.model.decoder = ConfigDict(dict(name="dc_ae.Decoder"))
    sd["tiny"](config)
    sizes = dict(channels=(4, 8, 16), depths=(0, 1, 1), attention_levels=(2,), head_dim=8)
    config.model.encoder = ConfigDict(dict(name="dc_ae.Encoder", **sizes))
    levels = dict(batch_norm_levels=(0, 1), relu_levels=(0, 1))
    config.model.decoder = ConfigDict(dict(name="dc_ae.Decoder", **sizes, **levels))
    config.model.latent_channels = 4
    config.model.remat = False
    config.ema = 0.0
    config.objective.adversarial.start = 1_000
    return config
