"""A small WF-VAE (arXiv 2411.17459) on windows that move over scikit-learn's photographs.

    strata train --config configs/wf_vae/moving_crops.py --workdir runs/wf_vae_moving_crops

The model has 2.0M parameters. Runs anywhere, because the data is part of a dependency: clips of 5
frames of 64x64 pixels. The loss is L1, wavelets and KL, without a perceptual distance (which needs
a file of weights) and without a discriminator. Takes some minutes on two CPU cores.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

s_4ch = run_path(str(Path(__file__).with_name("s_4ch.py")))
common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains an even smaller network for a few steps."""
    config = s_4ch["get_config"]()
    config.num_steps = 600
    config.batch_size = 2
    config.dtype = "float32"
    config.ema = 0.99
    config.stages = []

    config.data = ConfigDict()
    config.data.source = "moving_crops"
    config.data.path = ""
    config.data.image_size = 64
    config.data.num_frames = 5
    config.data.fps = 0
    config.data.stride = 1
    config.data.crop = "random"
    config.data.flip = True
    config.data.num_workers = 0

    for network in (config.model.encoder, config.model.decoder):
        network.base_channels = 16
        network.flow_channels = 16
        network.num_blocks = 1
    config.model.latent_channels = 8
    config.model.remat = False
    config.model.image_size = 64
    config.model.num_frames = 5

    config.objective.perceptual.weight = 0.0
    config.objective.adversarial.weight = 0.0
    config.discriminator = ConfigDict()

    config.optimizer = ConfigDict()
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_steps = 50
    config.optimizer.decay = "cosine"
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.999
    config.optimizer.weight_decay = 1e-4
    config.optimizer.clip_norm = 1.0

    config.mesh.fsdp = 1
    config.checkpoint.every = 200
    config.checkpoint.keep = 2
    config.eval.every = 300
    config.eval.num_examples = 16
    config.eval.batch_size = 4
    config.log.every = 20
    config.sample.every = 300
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU."""
    common["tiny"](config, batch_size=2)
    config.ema = 0.9
    config.data.image_size = 16
    config.model.image_size = 16
    for network in (config.model.encoder, config.model.decoder):
        network.base_channels = 4
        network.flow_channels = 4
        network.num_blocks = 0
    config.model.latent_channels = 4
    config.optimizer.warmup_steps = 2
    return config
