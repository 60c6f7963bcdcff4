"""A WF-VAE (arXiv 2411.17459) with the whole loss on a folder of videos, small enough for a CPU.

    strata train --config configs/wf_vae/small.py --workdir runs/wf_vae_small \\
        --config.data.path=videos/train --config.data.eval_path=videos/eval \\
        --config.objective.perceptual.weights=squeezenet11_caffe_notop.h5

The model has 4.5M parameters. Clips have 9 frames of 64x64 pixels, and 8 numbers stand for 4x8x8
pixels. The loss is L1, wavelets, KL and the distance of SqueezeNet's features from the start, and a
3-D PatchGAN from step 1,300. Takes about an hour on two CPU cores. docs/benchmarks/video.md lists
the figures that it reaches.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

s_4ch = run_path(str(Path(__file__).with_name("s_4ch.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/wf_vae/s_4ch.py."""
    if arg == "tiny":
        return s_4ch["get_config"](arg)
    config = s_4ch["get_config"]()
    config.num_steps = 2_600
    config.batch_size = 4
    config.dtype = "float32"
    config.ema = 0.995
    config.stages = []

    config.data = ConfigDict()
    config.data.source = "videos"
    config.data.path = ""
    config.data.eval_path = ""
    config.data.image_size = 64
    config.data.num_frames = 9
    config.data.fps = 0
    config.data.stride = 1
    config.data.clips_per_video = 32
    config.data.crop = "random"
    config.data.flip = True
    config.data.num_workers = 0

    for network in (config.model.encoder, config.model.decoder):
        network.base_channels = 24
        network.flow_channels = 24
        network.num_blocks = 1
    config.model.latent_channels = 8
    config.model.remat = False
    config.model.image_size = 64
    config.model.num_frames = 9

    config.objective.perceptual.weight = 0.03
    config.objective.perceptual.network = "squeezenet_caffe"
    config.objective.adversarial.weight = 0.1
    config.objective.adversarial.start = 1_300

    config.discriminator.channels = 16
    config.discriminator.num_layers = 3

    config.optimizer = ConfigDict()
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_steps = 100
    config.optimizer.decay = "cosine"
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.999
    config.optimizer.weight_decay = 1e-4
    config.optimizer.clip_norm = 1.0

    config.discriminator.optimizer = ConfigDict()
    config.discriminator.optimizer.name = "adamw"
    config.discriminator.optimizer.learning_rate = 2e-4
    config.discriminator.optimizer.b1 = 0.9
    config.discriminator.optimizer.b2 = 0.999
    config.discriminator.optimizer.weight_decay = 1e-4

    config.mesh.fsdp = 1
    config.checkpoint.every = 200
    config.checkpoint.keep = 2
    config.eval.every = 650
    config.eval.num_examples = 16
    config.eval.batch_size = 4
    config.log.every = 20
    config.sample.every = 650
    return config
