"""A plain VAE (arXiv 1312.6114) on 32x32 crops of the two photographs that ship with scikit-learn.

    strata train --config configs/vae/photos.py --workdir runs/vae_photos

The model has 1.7M parameters. The flat baseline of configs/vdvae/photos.py: the same data and
likelihood, with one latent vector instead of a hierarchy.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrower network for a few steps on smaller crops."""
    config = common["defaults"]()
    config.num_steps = 5_000
    config.batch_size = 32
    config.ema = 0.995

    config.data.source = "sklearn_images"
    config.data.path = ""
    config.data.image_size = 32
    config.data.crop = "random"
    config.data.flip = True
    config.data.num_workers = 0

    config.model.name = "vae.VAE"
    config.model.image_size = 32
    config.model.image_channels = 3
    config.model.latent_dim = 128
    config.model.channels = (32, 64, 128)
    config.model.hidden = (256,)
    config.model.depth = 1
    config.model.likelihood = dict(name="logistic_mixture", num_mixtures=5)

    # A warm-up of the KL: without it, a flat model with a strong likelihood ignores its latents.
    config.objective.distortion = dict(weight=1.0)
    config.objective.rate = ConfigDict()
    config.objective.rate.weight = dict(name="linear", start=0.0, end=1.0, steps=1_000)

    common["adamw"](config, learning_rate=1e-3, warmup_steps=100)
    config.optimizer.b2 = 0.99
    config.optimizer.weight_decay = 0.01
    config.optimizer.clip_norm = 50.0

    config.mesh.fsdp = 1
    config.checkpoint.every = 1_000
    config.checkpoint.keep = 2
    config.eval.every = 1_000
    config.eval.num_examples = 128
    config.eval.batch_size = 32
    config.log.every = 50
    config.sample.every = 1_000
    config.sample.num = 64
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU."""
    common["tiny"](config)
    config.ema = 0.9
    config.data.image_size = 16
    config.model.image_size = 16
    config.model.latent_dim = 8
    config.model.channels = (4, 8)
    config.model.hidden = ()
    config.model.likelihood.num_mixtures = 2
    config.objective.rate.weight.steps = 2
    config.optimizer.warmup_steps = 2
    return config
