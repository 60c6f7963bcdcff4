"""A WF-VAE (arXiv 2411.17459) small enough for a workstation's CPU, with the whole loss, on a folder of videos.

    strata train --config configs/wf_vae/small.py --workdir runs/wf_vae_small --config.data.path=videos/train \\
        --config.data.eval_path=videos/eval --config.objective.perceptual.weights=squeezenet11_caffe_notop.h5

Clips of 9 frames of 64x64 pixels, 8 numbers for 4x8x8 pixels. L1, wavelets, KL and the distance of SqueezeNet's
features from the start, a 3-D PatchGAN from step 1,300. Two CPU cores, about an hour. docs/benchmarks.md has what came
out.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

s_4ch = run_path(str(Path(__file__).with_name("s_4ch.py")))


def get_config(arg: str = "") -> ConfigDict:
    """`:tiny` is a few steps of a narrow network on crops that move over scikit-learn's photographs."""
    config = s_4ch["get_config"]()
    config.num_steps, config.batch_size, config.dtype, config.ema = 2_600, 4, "float32", 0.995
    config.stages = []
    config.data = ConfigDict(
        dict(
            source="videos",
            path="",
            eval_path="",
            image_size=64,
            num_frames=9,
            fps=0,
            stride=1,
            clips_per_video=32,
        )
        | dict(crop="random", flip=True, num_workers=0)
    )
    config.model.update(
        dict(base_channels=24, flow_channels=24, latent_channels=8, num_blocks=1, remat=False)
        | dict(image_size=64, num_frames=9)
    )
    config.objective.perceptual.update(dict(weight=0.03, network="squeezenet_caffe"))
    config.objective.adversarial.update(dict(weight=0.1, start=1_300))
    config.discriminator.update(dict(channels=16, num_layers=3))
    adamw = dict(name="adamw", b1=0.9, b2=0.999, weight_decay=1e-4)
    config.discriminator.optimizer = ConfigDict(dict(adamw, learning_rate=2e-4))
    config.optimizer = ConfigDict(
        dict(adamw, learning_rate=1e-3, warmup_steps=100, decay="cosine", clip_norm=1.0)
    )
    config.mesh.fsdp = 1
    config.checkpoint.update(dict(every=200, keep=2))
    config.eval.update(dict(every=650, num_examples=16, batch_size=4))
    config.log.every = 20
    config.sample.update(dict(every=650, num=4))
    return s_4ch["tiny"](config) if arg == "tiny" else config
