"""The VAE of Burgess et al. (arXiv 1804.03599, appendix A) on MNIST enlarged to 32x32: 10 latents, Bernoulli pixels.

    strata train --config configs/vae/mnist.py --workdir runs/vae_mnist --config.data.path=mnist.npz

The file holds `images` [n 28 28] uint8. beta-VAE is --config.objective.beta=4; a capacity that grows (their eq. 7) is
config.objective.capacity = dict(gamma=1000.0, end=25.0, steps=100000). Grey values count as probabilities, as in most
papers, so that nats an image compare with theirs and bits per dimension with nothing.
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    """`:tiny` is a few steps of a narrow network on scikit-learn's digits."""
    tiny = arg == "tiny"
    config = ConfigDict(dict(num_steps=4 if tiny else 50_000, batch_size=8 if tiny else 64, seed=0))
    config.dtype = "float32"
    config.grad_accum_steps = 1
    config.ema = 0.9 if tiny else 0.999
    config.data = ConfigDict(
        dict(
            source="digits" if tiny else "arrays",
            path="",
            image_size=32,
            channels=1,
            resize="fit",
            num_workers=0,
        )
    )
    config.model = ConfigDict(
        dict(
            name="vae.VAE",
            image_size=32,
            image_channels=1,
            latent_dim=10,
            channels=(4, 4, 4) if tiny else (32, 32, 32),
            hidden=(16, 16) if tiny else (256, 256),
            depth=0,
            likelihood="bernoulli",
            input_range=(0.0, 1.0),
        )
    )
    config.objective = ConfigDict(dict(beta=1.0))
    config.optimizer = ConfigDict(
        dict(
            name="adamw",
            learning_rate=5e-4,
            warmup_steps=2 if tiny else 100,
            decay="constant",
            weight_decay=0.0,
        )
        | dict(b1=0.9, b2=0.999, clip_norm=1.0, skip_norm=0.0, max_skips=50)
    )
    config.mesh = ConfigDict(dict(replica=1, fsdp=1 if tiny else -1, context=1))
    config.checkpoint = ConfigDict(dict(every=2 if tiny else 5_000, keep=3))
    config.eval = ConfigDict(
        dict(
            every=4 if tiny else 5_000,
            num_examples=16 if tiny else 3_000,
            batch_size=8 if tiny else 64,
        )
    )
    config.log = ConfigDict(dict(every=1 if tiny else 100))
    config.sample = ConfigDict(dict(every=4 if tiny else 5_000, num=4 if tiny else 64))
    return config
