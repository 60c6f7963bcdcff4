"""Distil TAEF2 into itself with fewer blocks: 2.0M parameters, 31% of the multiply-adds.

    strata import --from taesd taef2_encoder.pth taef2_decoder.pth --out taef2
    strata train --config configs/distill/taef2.py --workdir runs/small \\
        --config.init.codec=taef2 --config.teacher.codec=taef2 --config.data.path=photos/ \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth
    strata export --workdir runs/small --out small/

The blocks at the image's resolution and at half of it cost the most. The student has none of the
former and one of the latter, each way; all its arrays start as TAEF2's, which costs 13 dB at first,
of which 9 come back within minutes. The encoder learns TAEF2's latents, and the decoder learns from
these the originals.

For any TAESD: --config.model.latent_channels and the pooling of both networks are those of TAEF2.
One GPU, an hour; docs/benchmarks/finetune.md has our figures, on a CPU. The settings are ours.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

taesd = run_path(str(Path(__file__).with_name("taesd.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` shrinks the student and, without a teacher, learns from images."""
    config = taesd["get_config"](arg)
    if arg == "tiny":
        return config
    config.num_steps = 20_000
    config.init = ConfigDict()
    config.init.codec = ""
    config.init.arrays = (
        r"^(encoder|decoder)\.(conv_in|conv_out|downs|ups)\.",
        r"^encoder\.stages\.(1\.blocks\.0|2|3)\.",
        r"^decoder\.stages\.(0|1|2\.blocks\.0)\.",
    )
    config.teacher.images = False
    config.model = ConfigDict()
    config.model.name = "autoencoder.Autoencoder"
    config.model.image_size = 256
    config.model.latent_channels = 32
    config.model.bottleneck = dict(name="identity.Identity")
    for side in ("encoder", "decoder"):
        config.model[side] = ConfigDict()
        config.model[side].name = f"taesd.{side.title()}"
        config.model[side].width = 64
        config.model[side].num_blocks = (0, 1, 3, 3)
        config.model[side].pool = True

    config.objective.l1.weight = 1.0
    config.objective.teacher_images.weight = 0.0
    config.objective.adversarial.start = 10_000

    config.optimizer.learning_rate = 5e-4
    config.optimizer.warmup_steps = 100
    config.optimizer.decay = "cosine"
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.99
    return config
