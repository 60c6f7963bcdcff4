"""A minimal run, shared by the tests of training."""

import numpy as np
from ml_collections import ConfigDict

from pipeline import build

SIZE = 8


def recipe() -> ConfigDict:
    """Return the recipe of a plain VAE on scikit-learn's digits."""
    config = ConfigDict(dict(num_steps=20, batch_size=8, seed=0, ema=0.9))
    config.data = ConfigDict(dict(source="digits", image_size=SIZE, channels=1))
    config.model = ConfigDict(
        dict(
            name="vae.VAE",
            image_size=SIZE,
            image_channels=1,
            channels=(8, 16),
            hidden=(64,),
            latent_dim=4,
        )
    )
    config.optimizer = ConfigDict(
        dict(name="adamw", learning_rate=1e-3, warmup_steps=5, weight_decay=0.01)
    )
    config.checkpoint = ConfigDict(dict(every=10, keep=2))
    config.log = ConfigDict(dict(every=1))
    config.mesh = ConfigDict(dict(replica=1, fsdp=-1, context=1))
    return config


def tiny(**changes) -> dict:
    """Return the complete recipe with changes of top-level keys."""
    return build.complete(recipe()) | changes


def batch_of(number: int, rows: int = 8) -> dict[str, np.ndarray]:
    """Return batch `number` of noise images."""
    rng = np.random.default_rng(number)
    return {
        "image": rng.integers(0, 256, (rows, SIZE, SIZE, 1), dtype=np.uint8),
        "label": np.zeros(rows, np.int32),
        "index": np.arange(rows, dtype=np.int32),
        "mask": np.ones(rows, np.float32),
    }
