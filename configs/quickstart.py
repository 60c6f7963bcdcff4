"""A small VDVAE (arXiv 2011.10650) on crops of the two photographs that ship with scikit-learn.

    strata train --config configs/quickstart.py --workdir runs/quickstart

Two CPU cores, a few minutes; docs/benchmarks.md has what it reaches.
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    """`:tiny` is a few steps of a much smaller model, for tests."""
    tiny = arg == "tiny"
    config = ConfigDict()
    config.num_steps = 4 if tiny else 600
    config.batch_size = 8 if tiny else 16
    config.seed = 0
    config.dtype = "float32"
    config.grad_accum_steps = 1
    config.ema = 0.99
    config.data = ConfigDict(
        dict(
            source="sklearn_images",
            path="",
            image_size=16 if tiny else 32,
            crop="random",
            flip=True,
            num_workers=0,
        )
    )
    config.model = ConfigDict(
        dict(
            name="vdvae.VDVAE",
            enc_blocks="16x1,16d4,4x1,4d4,1x1"
            if tiny
            else "32x2,32d2,16x2,16d2,8x2,8d2,4x1,4d4,1x1",
            dec_blocks="1x1,4m1,4x1,16m4" if tiny else "1x1,4m1,4x1,8m4,8x2,16m8,16x2,32m16,32x2",
            width=16 if tiny else 64,
            zdim=4 if tiny else 8,
            num_mixtures=2 if tiny else 5,
            image_size=16 if tiny else 32,
            input_shift=-112.0,
            input_scale=1 / 70.0,
        )
    )
    config.objective = ConfigDict(dict(beta=1.0))
    config.optimizer = ConfigDict(
        dict(
            name="adamw",
            learning_rate=1e-3,
            warmup_steps=50,
            decay="cosine",
            b1=0.9,
            b2=0.9,
            weight_decay=0.01,
        )
        | dict(clip_norm=200.0, skip_norm=400.0, max_skips=50)
    )
    config.mesh = ConfigDict(dict(replica=1, fsdp=1, context=1))
    config.checkpoint = ConfigDict(dict(every=2 if tiny else 200, keep=2))
    config.eval = ConfigDict(dict(every=4 if tiny else 300, num_examples=16 if tiny else 128))
    config.log = ConfigDict(dict(every=1 if tiny else 20))
    config.sample = ConfigDict(dict(every=4 if tiny else 300, num=4 if tiny else 16))
    return config
