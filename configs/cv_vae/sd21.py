"""CV-VAE compatible with Stable Diffusion 2.1 (arXiv 2405.20279): a video codec, 182.4M parameters.

    strata import --from diffusers stable-diffusion-2-1/vae --out sd21
    strata import --from image-codec sd21 --config configs/cv_vae/sd21.py --out runs/cv_vae_sd21
    strata train --config configs/cv_vae/sd21.py --workdir runs/cv_vae_sd21 \\
        --config.data.path=data/videos --config.data.image_path=data/images \\
        --config.objective.latent_compatibility.codec=sd21 \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The network is the one that the authors configure. The training settings are the ones that they
publish for their model that is compatible with SD 3: half of the batches are images, clips have 17
frames of 256x256, the loss is L1 + 0.5 LPIPS with the frozen image decoder applied to every latent
frame and a discriminator of clips, and the optimizer is AdamW (0.9, 0.98) with eps 1e-4 and a
cosine decay from 2e-5 over at most 200,000 steps. Smaller frames and images are enlarged, and up to
5,000 files may be unreadable.

Deviations: each norm sees one frame at a time, so that the encoder is causal and training starts
exactly as the image codec (pipeline/networks/cv_vae.py); the weight of the KL is 1e-6 (theirs is 1,
in another unit); their learned variances are 1; images have the size of the clips and batches of
the same size; clips take every frame (theirs take every first to eighth frame, drawn for each clip;
--config.data.stride=4 is a value in between); and a video shorter than a clip repeats its last
frame.

Latents do not depend on how a video is cut into chunks of time, and frames do (`encoder_causal` and
`decoder_causal` in the codec's config.json), because the decoder looks one frame ahead. With the
authors' norms the encoder sees all frames, and latents are not exact either. docs/codecs.md
describes the consequences.

Expected figures, measured by the WF-VAE paper and not by us, 33 frames at 256x256: WebVid 30.76 dB,
Panda70M 30.18 dB.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network without an image codec."""
    config = common["defaults"]()
    config.num_steps = 200_000
    config.batch_size = 8
    config.ema = 0.999
    config.step = "adversarial"

    config.data.source = "videos"
    config.data.path = ""
    config.data.image_size = 256
    config.data.num_frames = 17
    config.data.fps = 0
    config.data.stride = 1
    config.data.short = "repeat"
    config.data.resize = "fit"
    config.data.crop = "random"
    config.data.flip = True
    config.data.image_fraction = 0.5
    config.data.image_source = "folder"
    config.data.image_path = ""
    config.data.num_workers = 16
    config.data.max_unreadable = 5_000

    config.model.name = "autoencoder.Autoencoder"
    config.model.image_size = 256
    config.model.num_frames = 17
    config.model.latent_channels = 4
    config.model.remat = True
    config.model.encoder = ConfigDict()
    config.model.encoder.name = "cv_vae.Encoder"
    config.model.encoder.channels = (128, 256, 512, 512)
    config.model.encoder.num_blocks = 2
    config.model.encoder.groups = 32
    config.model.encoder.norm_per_frame = True
    config.model.bottleneck = dict(name="gaussian.Gaussian")
    config.model.decoder = ConfigDict()
    config.model.decoder.name = "cv_vae.Decoder"
    config.model.decoder.channels = (128, 256, 512, 512)
    config.model.decoder.num_blocks = 3
    config.model.decoder.groups = 32
    config.model.decoder.norm_per_frame = True

    config.objective.l1 = dict(weight=1.0)
    config.objective.logvar = 0.0
    config.objective.per_frame = True
    config.objective.perceptual = dict(weight=0.5, network="vgg16", weights="", heads="")
    config.objective.rate = dict(weight=1e-6)
    config.objective.latent_compatibility = dict(weight=1.0, codec="")
    config.objective.adversarial = ConfigDict()
    config.objective.adversarial.loss = "hinge"
    config.objective.adversarial.weight = 0.5
    config.objective.adversarial.start = 0
    config.objective.adversarial.adaptive = True
    config.objective.adversarial.max_weight = 1e4
    config.objective.adversarial.eps = 1e-4

    config.discriminator = ConfigDict()
    config.discriminator.name = "patchgan.PatchGAN3D"
    config.discriminator.channels = 64
    config.discriminator.num_layers = 4

    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 2e-5
    config.optimizer.warmup_steps = 1_000
    config.optimizer.decay = "cosine"
    config.optimizer.final_learning_rate = 1e-7
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.98
    config.optimizer.weight_decay = 0.01
    # The authors' eps of 1e-4 belongs to a loss that is a sum over a frame. Our loss is divided by
    # the number of values in a frame, and so is its eps; the discriminator's loss is not divided.
    config.optimizer.eps = 1e-4 / (3 * 256**2)
    config.discriminator.optimizer = dict(eps=1e-4)

    config.checkpoint.every = 2_000
    config.eval.num_examples = 64
    config.eval.batch_size = 8
    config.log.every = 50
    config.sample.num = 4
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink to clips of 5 frames of 16x16: two steps without a discriminator and two with one.

    Residual blocks remain between the encoder's and the decoder's levels only, next to attention.
    """
    common["tiny"](config, batch_size=2)
    config.ema = 0.9
    config.data.source = "moving_crops"
    config.data.image_source = ""
    config.data.image_size = 16
    config.data.num_frames = 5
    config.data.num_workers = 0
    for network in (config.model.encoder, config.model.decoder):
        network.channels = (4, 4, 4, 4)
        network.groups = 2
        network.num_blocks = 0
    config.model.remat = False
    config.model.image_size = 16
    config.model.num_frames = 5
    config.objective.perceptual.weight = 0.0
    config.objective.latent_compatibility.weight = 0.0
    config.objective.adversarial.start = 2
    config.discriminator.channels = 4
    config.discriminator.num_layers = 1
    config.optimizer.warmup_steps = 2
    return config
