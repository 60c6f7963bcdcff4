"""Fine-tune the decoder of any video codec on your clips; its latents stay as they are.

    strata train --config configs/finetune/decoder_video.py --workdir runs/mine \\
        --config.init.codec=codec/ --config.data.path=films/ \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth
    strata export --workdir runs/mine --out mine/

As configs/finetune/decoder_image.py, with clips of 17 frames of 256x256 and a discriminator of
clips. A codec whose clips have other lengths than 1 + 4k frames needs another data.num_frames.
Latents are computed in each step by the frozen encoder. The settings are ours, and we have no
figure: one GPU with 80 GB for a codec of Wan's size, with --config.model.remat=True.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

image = run_path(str(Path(__file__).with_name("decoder_image.py")))
common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains the decoder of a new, narrow network without features."""
    config = image["get_config"]()
    config.batch_size = 4
    config.data = ConfigDict()
    config.data.source = "videos"
    config.data.path = ""
    config.data.image_size = 256
    config.data.num_frames = 17
    config.data.resize = "fit"
    config.data.crop = "random"
    config.data.flip = True
    config.data.num_workers = 8
    config.objective.per_frame = True
    config.discriminator.name = "patchgan.PatchGAN3D"
    config.optimizer.learning_rate = 1e-5
    config.eval.num_examples = 64
    config.eval.batch_size = 4
    config.sample.num = 4
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU; without config.init.codec, the model is given here."""
    common["tiny"](config, batch_size=2)
    config.ema = 0.9
    config.data.source = "moving_crops"
    config.data.image_size = 16
    config.data.num_frames = 5
    config.data.num_workers = 0
    config.model.name = "autoencoder.Autoencoder"
    config.model.image_size = 16
    config.model.num_frames = 5
    config.model.latent_channels = 2
    small = dict(patch=2, channels=(4, 8), num_blocks=0)
    config.model.encoder = dict(name="causal_patch_resnet.Encoder", **small)
    config.model.bottleneck = dict(name="gaussian.Gaussian")
    config.model.decoder = dict(name="causal_patch_resnet.Decoder", **small)
    config.objective.perceptual.weight = 0.0
    config.objective.adversarial.start = 2
    config.discriminator.channels = 4
    config.discriminator.num_layers = 1
    config.optimizer.warmup_steps = 2
    return config
