"""A small WF-VAE (arXiv 2411.17459) on windows that move over the photographs that ship with scikit-learn.

    strata train --config configs/wf_vae/quickstart.py --workdir runs/wf_vae_quickstart

Runs anywhere, from data inside a dependency: clips of 5 frames of 64x64 pixels; L1, wavelets and KL, no perceptual
distance (which needs a file of weights) and no discriminator. Two CPU cores, some minutes.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

s_4ch = run_path(str(Path(__file__).with_name("s_4ch.py")))


def get_config(arg: str = "") -> ConfigDict:
    """`:tiny` is a few steps of an even smaller one."""
    config = s_4ch["get_config"]()
    config.num_steps, config.batch_size, config.dtype, config.ema = 600, 2, "float32", 0.99
    config.stages = []
    config.data = ConfigDict(
        dict(source="moving_crops", path="", image_size=64, num_frames=5, fps=0, stride=1)
        | dict(crop="random", flip=True, num_workers=0)
    )
    config.model.update(
        dict(base_channels=16, flow_channels=16, latent_channels=8, num_blocks=1, remat=False)
        | dict(image_size=64, num_frames=5)
    )
    config.objective.perceptual.weight = 0.0
    config.objective.adversarial.weight = 0.0
    config.discriminator = ConfigDict()
    config.optimizer = ConfigDict(
        dict(name="adamw", learning_rate=1e-3, warmup_steps=50, decay="cosine", b1=0.9, b2=0.999)
        | dict(weight_decay=1e-4, clip_norm=1.0)
    )
    config.mesh.fsdp = 1
    config.checkpoint.update(dict(every=200, keep=2))
    config.eval.update(dict(every=300, num_examples=16, batch_size=4))
    config.log.every = 20
    config.sample.update(dict(every=300, num=4))
    if arg == "tiny":
        config.num_steps, config.ema = 4, 0.9
        config.data.image_size = config.model.image_size = 16
        config.model.update(dict(base_channels=4, flow_channels=4, latent_channels=4))
        config.optimizer.warmup_steps = 2
        config.checkpoint.every, config.log.every = 2, 1
        config.eval.update(dict(every=4, num_examples=4, batch_size=2))
        config.sample.update(dict(every=4, num=2))
    return config
