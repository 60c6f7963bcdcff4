"""A plain VAE (arXiv 1312.6114) on scikit-learn's 8x8 digits: nothing to download, a minute on one core.

    strata train --config configs/vae/digits.py --workdir runs/vae_digits

The digits have 17 grey levels; 16 of them (4 bits) are kept, and every pixel has a distribution over these 16, so that
the bits per dimension are those of a code. Four are a uniform one's.
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    """`:tiny` is a few steps of a narrower network."""
    tiny = arg == "tiny"
    config = ConfigDict(dict(num_steps=4 if tiny else 3_000, batch_size=8 if tiny else 64, seed=0))
    config.dtype = "float32"
    config.grad_accum_steps = 1
    config.ema = 0.9 if tiny else 0.995
    config.data = ConfigDict(
        dict(
            source="digits",
            path="",
            image_size=8,
            channels=1,
            bits=4,
            eval_fraction=0.1,
            num_workers=0,
        )
    )
    config.model = ConfigDict(
        dict(
            name="vae.VAE",
            image_size=8,
            image_channels=1,
            latent_dim=8,
            channels=(4, 8) if tiny else (32, 64),
            hidden=(16,) if tiny else (128,),
            depth=0 if tiny else 1,
            likelihood=dict(name="categorical", bits=4),
        )
    )
    config.objective = ConfigDict(dict(beta=1.0))
    config.optimizer = ConfigDict(
        dict(
            name="adamw",
            learning_rate=1e-3,
            warmup_steps=2 if tiny else 100,
            decay="cosine",
            weight_decay=0.01,
        )
        | dict(b1=0.9, b2=0.999, clip_norm=1.0, skip_norm=0.0, max_skips=50)
    )
    config.mesh = ConfigDict(dict(replica=1, fsdp=1, context=1))
    config.checkpoint = ConfigDict(dict(every=2 if tiny else 1_000, keep=2))
    config.eval = ConfigDict(
        dict(
            every=4 if tiny else 500, num_examples=16 if tiny else 179, batch_size=8 if tiny else 64
        )
    )
    config.log = ConfigDict(dict(every=1 if tiny else 100))
    config.sample = ConfigDict(dict(every=4 if tiny else 1_000, num=4 if tiny else 64))
    return config
