"""Ladder VAE (Sønderby et al., arXiv 1602.02282) on binarised MNIST: 5 layers of latents, Bernoulli pixels.

    strata train --config configs/ladder_vae/mnist.py --workdir runs/ladder_vae_mnist --config.data.path=mnist.npz

The file holds `images` [n 28 28] uint8; pixels are drawn anew in each epoch with their grey values as probabilities,
and a sixth of the images is kept for evaluation, binarised once. 2,000 epochs, the KL's weight growing over the first
200. Expected figure, the paper's and not ours: 82.12 nats (importance-weighted bound of 5,000 samples, test images). A
run of minutes on two cores, and the same with inference bottom-up (mnist_bottom_up.py), are in docs/benchmarks.md.
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    """`:tiny` is a few steps of a narrow network on scikit-learn's digits."""
    epoch = 50_000 // 256
    # No average weights: batch norm's running statistics are those of the last ones (docs/benchmarks.md).
    config = ConfigDict(
        dict(
            num_steps=2000 * epoch,
            batch_size=256,
            seed=0,
            dtype="float32",
            grad_accum_steps=1,
            ema=0.0,
        )
    )
    config.data = ConfigDict(
        dict(
            source="arrays",
            path="",
            image_size=28,
            channels=1,
            binarize=True,
            eval_fraction=1 / 6,
            num_workers=0,
        )
    )
    config.model = ConfigDict(
        dict(
            name="ladder_vae.LadderVAE",
            image_size=28,
            image_channels=1,
            latent_dims=(64, 32, 16, 8, 4),
            widths=(512, 256, 128, 64, 32),
            likelihood="bernoulli",
        )
    )
    config.objective = ConfigDict(dict(beta=dict(name="linear", steps=200 * epoch)))
    config.optimizer = ConfigDict(
        dict(name="adamw", learning_rate=1e-3, warmup_steps=0, decay="constant", weight_decay=0.0)
        | dict(b1=0.9, b2=0.999, clip_norm=1.0, skip_norm=0.0, max_skips=50)
    )
    config.mesh = ConfigDict(dict(replica=1, fsdp=-1, context=1))
    config.checkpoint = ConfigDict(dict(every=10_000, keep=3))
    config.eval = ConfigDict(dict(every=10_000, num_examples=10_000, batch_size=256))
    config.log = ConfigDict(dict(every=100))
    config.sample = ConfigDict(dict(every=10_000, num=64))
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrinks the recipe to seconds on a CPU."""
    config.update(
        dict(
            num_steps=4,
            batch_size=8,
            data=dict(source="digits", image_size=8),
            model=dict(image_size=8, latent_dims=(4, 3, 2), widths=(16, 12, 8)),
            objective=dict(beta=dict(steps=2)),
            mesh=dict(fsdp=1),
            checkpoint=dict(every=2),
            eval=dict(every=4, num_examples=16, batch_size=8),
            log=dict(every=1),
            sample=dict(every=4, num=4),
        )
    )
    return config
