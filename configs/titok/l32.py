"""TiTok L-32 (arXiv 2406.07550): 641,054,735 parameters, an image of 256x256 to 32 codes of 4,096.

    strata train --config configs/titok/l32.py --workdir runs/titok_l32 \\
        --config.data.path=data/imagenet \\
        --config.objective.proxy_codes.codec=runs/vqgan_f16_1024/codec \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

The first stage, 1,000,000 steps, learns the codes that another tokenizer gives to the 16x16 patches
of an image: the exported codec of a run of configs/vqgan/f16_1024.py. The second, 500,000 steps,
learns pixels, with the encoder and the codes frozen. Vectors and codes of 12 numbers have length 1.
Batches of 256, as 8 GPUs of the authors have. b64.py and s128.py are narrower and have more codes.

Deviations: the authors' proxy codes and the start of the pixels' decoder are MaskGIT's, which was
trained by an unpublished recipe; here the codes are our VQGAN's, and the decoder starts untrained
in the second stage. That stage has LPIPS where the authors compare the logits of ConvNeXt-S, and
the rate falls over both stages together, where theirs starts anew.

Expected figure on ImageNet's validation set at 256x256, the authors' and not ours: rFID 2.21.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))

# The pixels' decoder is not trained in the first stage, nor what makes the codes in the second.
PIXELS = ("pixel_decoder", "proxies")
CODES = ("encoder", "tokens", "bottleneck")


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains on pixels in both stages, with no other tokenizer."""
    config = common["defaults"]()
    config.num_steps = 1_500_000
    config.batch_size = 256
    config.ema = 0.999
    config.step = "adversarial"

    config.data.source = "folder"
    config.data.path = ""
    config.data.image_size = 256
    config.data.resize = "fit"
    config.data.crop = "random"
    config.data.flip = True
    config.data.num_workers = 16

    config.model.name = "titok.TiTok"
    config.model.image_size = 256
    config.model.num_tokens = 32
    config.model.latent_channels = 12
    config.model.width = 1_024
    config.model.depth = 24
    config.model.heads = 16
    config.model.untransposed = True
    config.model.num_proxies = 1_024
    config.model.proxy_dim = 256
    config.model.bottleneck = ConfigDict()
    config.model.bottleneck.name = "cosine_vq.CosineVQ"
    config.model.bottleneck.num_codes = 4_096
    config.model.bottleneck.codebook = dict(name="learned.Learned")
    config.model.pixel_decoder = ConfigDict()
    config.model.pixel_decoder.name = "maskgit_vqgan.Decoder"
    config.model.pixel_decoder.channels = (128, 128, 256, 256, 512)
    config.model.pixel_decoder.num_blocks = 2
    config.model.pixel_decoder.groups = 32

    config.objective.proxy_codes = dict(weight=1.0, codec="")
    config.objective.quantization = dict(weight=1.0, beta=0.25)
    config.objective.l2 = dict(weight=0.0)
    config.objective.perceptual = dict(weight=0.0, network="vgg16", weights="", heads="")
    config.objective.adversarial = ConfigDict()
    config.objective.adversarial.loss = "hinge"
    # The other terms are means over the values of an image, and this weight is divided by them.
    config.objective.adversarial.weight = 0.01 * 3 * 256**2
    config.objective.adversarial.adaptive = False
    config.objective.adversarial.start = 1_020_000
    config.objective.adversarial.lecam = 0.001

    config.discriminator = ConfigDict()
    config.discriminator.name = "patchgan.PatchGAN2D"
    config.discriminator.channels = 64
    config.discriminator.num_layers = 3

    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1e-4
    config.optimizer.warmup_steps = 10_000
    config.optimizer.decay = "cosine"
    config.optimizer.final_learning_rate = 1e-5
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.99
    config.optimizer.weight_decay = 1e-4
    config.optimizer.clip_norm = 1.0
    config.optimizer.frozen = PIXELS

    config.stages = [
        {"num_steps": 1_000_000},
        {
            "num_steps": 500_000,
            "objective.proxy_codes.weight": 0.0,
            "objective.quantization.weight": 0.0,
            "objective.l2.weight": 1.0,
            "objective.perceptual.weight": 0.1,
            "optimizer.b2": 0.999,
            "optimizer.frozen": CODES,
        },
    ]
    config.eval.num_examples = 1_000
    config.eval.batch_size = 32
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink all sizes to the same network; both stages train on pixels, the first all parts.

    It has no residual blocks and no discriminator.
    """
    common["tiny"](config, batch_size=4)
    config.ema = 0.9
    config.data.source = "sklearn_images"
    config.data.image_size = 16
    config.data.num_workers = 0
    config.model.image_size = 16
    config.model.num_tokens = 4
    config.model.latent_channels = 4
    config.model.width = 16
    config.model.depth = 1
    config.model.heads = 2
    config.model.num_proxies = 16
    config.model.proxy_dim = 8
    config.model.bottleneck.num_codes = 16
    config.model.pixel_decoder.channels = (8, 8, 8)
    config.model.pixel_decoder.num_blocks = 0
    config.model.pixel_decoder.groups = 4
    config.objective.proxy_codes.weight = 0.0
    config.objective.l2.weight = 1.0
    config.objective.adversarial.weight = 0.1
    config.objective.adversarial.start = config.num_steps
    config.discriminator.channels = 8
    config.discriminator.num_layers = 1
    config.optimizer.warmup_steps = 2
    config.optimizer.frozen = ()
    config.stages = [
        {"num_steps": 2},
        {
            "num_steps": 2,
            "objective.quantization.weight": 0.0,
            "optimizer.frozen": CODES,
        },
    ]
    return config
