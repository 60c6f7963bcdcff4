"""Distil a video codec of 4x8x8 pixels to a latent into a TAEHV (11,315,539 parameters).

    strata train --config configs/distill/taehv.py --workdir runs/small \\
        --config.teacher.codec=wan/ --config.data.path=videos \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth
    strata export --workdir runs/small --out small/

The teacher is any causal codec of 4x8x8 pixels to a latent, frozen, with as many channels as the
student: 16, as Wan 2.1's (configs/wan/wan21.py), unless --config.model.latent_channels says
otherwise. The student is the network of configs/taehv/base.py. Its encoder learns the mean of the
teacher's posterior by its squared error. Its decoder learns from the teacher's latents: the
teacher's frames and the originals, both by L1, a perceptual distance, and in the last third a
discriminator. The exported config.json and card record whose latents the student reads.

The teacher encodes and decodes every clip, without gradients, which costs more than the student's
step. TAEHV's author distils his networks too and published no settings; these are ours, and we have
no figure. No teacher of the published size has been run here.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

taehv = run_path(str(Path(__file__).parents[1] / "taehv" / "base.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` shrinks the student and, without a teacher, learns from clips."""
    config = taehv["get_config"]()
    config.num_steps = 150_000

    config.teacher = ConfigDict()
    config.teacher.codec = ""
    config.teacher.images = True
    config.teacher.layers = ()
    config.teacher.student_layers = ()
    config.teacher.decode_latents = True

    config.objective.teacher_latents = dict(weight=1.0)
    config.objective.teacher_images = dict(weight=0.5)
    config.objective.teacher_features = dict(weight=0.0)
    config.objective.l1.weight = 0.5
    config.objective.adversarial.weight = 0.1
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink to seconds on a CPU; without a teacher and a discriminator."""
    taehv["tiny"](config)
    config.objective.teacher_latents.weight = config.objective.teacher_images.weight = 0.0
    config.objective.l1.weight = 1.0
    config.objective.adversarial.weight = 0.0
    return config
