"""A plain VAE (arXiv 1312.6114) on 32x32 crops of the two photographs that ship with scikit-learn.

    strata train --config configs/vae/photos.py --workdir runs/vae_photos

The flat baseline of configs/quickstart.py: the same data and likelihood, one vector of latents in place of a hierarchy.
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    """`:tiny` is a few steps of a narrower network on smaller crops."""
    tiny = arg == "tiny"
    config = ConfigDict(dict(num_steps=4 if tiny else 5_000, batch_size=8 if tiny else 32, seed=0))
    config.dtype = "float32"
    config.grad_accum_steps = 1
    config.ema = 0.9 if tiny else 0.995
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
            name="vae.VAE",
            image_size=16 if tiny else 32,
            image_channels=3,
            latent_dim=8 if tiny else 128,
            channels=(4, 8) if tiny else (32, 64, 128),
            hidden=() if tiny else (256,),
            depth=1,
            likelihood=dict(name="logistic_mixture", num_mixtures=2 if tiny else 5),
        )
    )
    # Warm-up of the rate: without it, a flat model under a strong likelihood starts by ignoring its latents.
    config.objective = ConfigDict(
        dict(beta=dict(name="linear", start=0.0, end=1.0, steps=2 if tiny else 1_000))
    )
    config.optimizer = ConfigDict(
        dict(
            name="adamw",
            learning_rate=1e-3,
            warmup_steps=2 if tiny else 100,
            decay="cosine",
            weight_decay=0.01,
        )
        | dict(b1=0.9, b2=0.99, clip_norm=50.0, skip_norm=0.0, max_skips=50)
    )
    config.mesh = ConfigDict(dict(replica=1, fsdp=1, context=1))
    config.checkpoint = ConfigDict(dict(every=2 if tiny else 1_000, keep=2))
    config.eval = ConfigDict(
        dict(
            every=4 if tiny else 1_000,
            num_examples=16 if tiny else 128,
            batch_size=8 if tiny else 32,
        )
    )
    config.log = ConfigDict(dict(every=1 if tiny else 50))
    config.sample = ConfigDict(dict(every=4 if tiny else 1_000, num=4 if tiny else 64))
    return config
