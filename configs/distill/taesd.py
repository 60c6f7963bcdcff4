"""Distil an image codec into a small one with the same latents, as TAESD (2.4M parameters) was.

    strata train --config configs/distill/taesd.py --workdir runs/small \\
        --config.teacher.codec=codec/ --config.data.path=photos/ \\
        --config.model.latent_channels=4 \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth
    strata export --workdir runs/small --out small/

The teacher is any codec of 8x8 pixels to a latent, frozen, with as many channels as the student.
The student's encoder learns the mean of the teacher's posterior by its squared error. Its decoder
learns from the teacher's latents: the teacher's images and the originals, both by L1, a perceptual
distance, and in the last third a discriminator. The exported config.json and card record whose
latents the student reads. --config.model.encoder.width=32 and the decoder's make it four times
cheaper still, from random weights: 46 minutes on a CPU left 20 dB (docs/benchmarks/finetune.md). A
student of a TAESD starts from it instead, with fewer blocks: configs/distill/taef2.py.

The network, the batch of 16 and Adam at 3e-4 with b2 = 0.9 are those of TAESD's author, who
published no other settings; weights and schedule are ours.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

taesd = run_path(str(Path(__file__).parents[1] / "taesd" / "taesd.py"))
sd = run_path(str(Path(__file__).parents[1] / "kl_f8" / "sd.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` shrinks the student and, without a teacher, learns from images."""
    config = taesd["get_config"]()
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
    config.objective.adversarial.start = 100_000
    config.objective.adversarial.weight = 0.1
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink to seconds on a CPU; without a teacher and a discriminator."""
    config = sd["tiny"](config)
    config.objective.teacher_latents.weight = config.objective.teacher_images.weight = 0.0
    config.objective.l1.weight = 1.0
    config.objective.adversarial.weight = 0.0
    return config
