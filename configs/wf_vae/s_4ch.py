"""WF-VAE S (arXiv 2411.17459): 146.5M parameters, 4x8x8 pixels of a clip to 4 numbers.

    strata train --config configs/wf_vae/s_4ch.py --workdir runs/wf_vae_s_4ch \\
        --config.data.path=data/kinetics400 \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The paper's schedule (its table 7) has three stages: 800,000 steps of 25 frames; 200,000 steps of 49
frames at half the frame rate; and 200,000 steps with a tenth of the perceptual distance. The last
two start with a new discriminator. Data is Kinetics-400 at 256x256, batch 8, on 8 H100 GPUs; the
paper does not state the time. The file of VGG16 is torchvision's, and the file of LPIPS's heads is
the LPIPS authors'.

As in the authors' code, frames smaller than 256 pixels are enlarged. Up to 5,000 files, a fiftieth
of Kinetics-400, may be unreadable.

Deviations: frames are doubled in time without looking ahead, and wavelets are orthonormal
(networks/wf_vae.py); each step trains the codec and the discriminator on the same clips (the
authors alternate); the discriminator normalises each example separately
(--config.discriminator.norm=batch is what the authors do); gradients are clipped to a norm of 1
(the authors do not clip); the EMA warms up; clips are cut out at random and mirrored (the authors:
centre, unmirrored); and a video shorter than a clip repeats its last frame (the authors draw
another one).

Expected figures, the paper's and not ours, of 33 frames at 256x256: WebVid 31.39 dB, Panda70M 31.27
dB.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on moving crops."""
    config = common["defaults"]()
    config.num_steps = 1_200_000
    config.batch_size = 8
    config.dtype = "bfloat16"
    config.ema = 0.999
    config.step = "adversarial"

    config.data.source = "videos"
    config.data.path = ""
    config.data.image_size = 256
    config.data.num_frames = 25
    config.data.fps = 0
    config.data.stride = 1
    config.data.short = "repeat"
    config.data.resize = "fit"
    config.data.crop = "random"
    config.data.flip = True
    config.data.num_workers = 16
    config.data.max_unreadable = 5_000

    config.model.name = "autoencoder.Autoencoder"
    config.model.image_size = 256
    config.model.num_frames = 25
    config.model.latent_channels = 4
    config.model.remat = True
    config.model.encoder = ConfigDict()
    config.model.encoder.name = "wf_vae.Encoder"
    config.model.encoder.base_channels = 128
    config.model.encoder.flow_channels = 128
    config.model.encoder.num_blocks = 2
    config.model.bottleneck = dict(name="gaussian.Gaussian")
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "wf_vae.Decoder"
    config.model.decoder.base_channels = 128
    config.model.decoder.flow_channels = 128
    config.model.decoder.num_blocks = 2

    config.objective.l1 = dict(weight=1.0)
    config.objective.logvar = 0.0
    config.objective.per_frame = True
    config.objective.perceptual = dict(weight=1.0, network="vgg16", weights="", heads="")
    config.objective.rate = dict(weight=1e-6)
    config.objective.wavelet = dict(weight=0.1)
    config.objective.adversarial = ConfigDict()
    config.objective.adversarial.loss = "hinge"
    config.objective.adversarial.weight = 0.5
    config.objective.adversarial.start = 0
    config.objective.adversarial.adaptive = True
    config.objective.adversarial.max_weight = 1e6
    config.objective.adversarial.eps = 1e-6

    config.discriminator = ConfigDict()
    config.discriminator.name = "patchgan.PatchGAN3D"
    config.discriminator.channels = 64
    config.discriminator.num_layers = 4

    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1e-5
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.999
    config.optimizer.weight_decay = 1e-4
    config.discriminator.optimizer = dict(config.optimizer, eps=1e-8)
    # Adam's eps of 1e-8 belongs to a loss that is a sum over a frame. Our loss is divided by the
    # number of values in a frame, and so is its eps; the discriminator's loss is not divided.
    config.optimizer.eps = 1e-8 / (3 * 256**2)
    config.optimizer.clip_norm = 1.0

    longer = {
        "num_steps": 200_000,
        "data.num_frames": 49,
        "data.stride": 2,
        "model.num_frames": 49,
        "reset_discriminator": True,
    }
    config.stages = [
        {"num_steps": 800_000},
        longer,
        {**longer, "objective.perceptual.weight": 0.1},
    ]

    config.eval.num_examples = 64
    config.eval.batch_size = 8
    config.log.every = 50
    config.sample.num = 4
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink to clips of 5 frames of 16x16: two steps without a discriminator and two with one.

    The number of latent channels is fixed too, so that all sizes become the same program, which is
    compiled only once.
    """
    common["tiny"](config, batch_size=2)
    config.dtype = "float32"
    config.ema = 0.9
    config.stages = []
    config.data.source = "moving_crops"
    config.data.image_size = 16
    config.data.num_frames = 5
    config.data.num_workers = 0
    for network in (config.model.encoder, config.model.decoder):
        network.base_channels = 4
        network.flow_channels = 4
        network.num_blocks = 0
    config.model.latent_channels = 4
    config.model.remat = False
    config.model.image_size = 16
    config.model.num_frames = 5
    config.objective.perceptual.weight = 0.0
    config.objective.adversarial.start = 2
    config.discriminator.channels = 4
    config.discriminator.num_layers = 1
    return config
