"""HQ-VAE with injected layers, SQ-VAE-2 (Takida et al., arXiv 2401.00365), on CIFAR-10: codes at 4x4 and at 8x8.

    strata data pack CIFAR10_IMAGE_FOLDER --out data/cifar10
    strata train --config configs/hq_vae/cifar10.py --workdir runs/hq_vae_cifar10 \\
        --config.data.path=data/cifar10

One GPU; 100 epochs. Codebooks of 512 codes of 64 numbers, s^2 = 20 at the start, Adam at 1e-3 with batches of 32 and
the Gumbel-softmax's temperature are those that the authors' code of SQ-VAE (2205.07547) has for CIFAR-10. We have not
checked the hierarchy's sizes against the paper's appendix, and know of no figure to expect: what to look at is that
codebook_perplexity stays near the number of codes. Deviations: a cosine decay instead of one on plateaus, and what
pipeline/models/hq_vae.py says.
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    """`:tiny` is a few steps of a small model on the photographs that ship with scikit-learn."""
    config = ConfigDict(
        dict(
            num_steps=156_000, batch_size=32, seed=0, dtype="float32", grad_accum_steps=1, ema=0.999
        )
    )
    config.data = ConfigDict(
        dict(source="records", path="", eval_path="", image_size=32, eval_fraction=0.1)
        | dict(crop="center", flip=False, num_workers=2)
    )
    config.model = ConfigDict(
        dict(name="hq_vae.SQVAE2", image_size=32, halvings=2, layers=(1, 1), width=128, depth=2)
        | dict(num_codes=512, dim=64, variance=20.0)
    )
    # exp(-1e-5 step), until it is 0.01.
    config.model.gumbel_temperature = ConfigDict(
        dict(name="geometric", start=1.0, end=0.01, steps=460_517)
    )
    config.model.likelihood = ConfigDict(
        dict(name="discretized_gaussian", scale="learned", start=0.5)
    )
    config.objective = ConfigDict(dict(beta=1.0))
    config.optimizer = ConfigDict(
        dict(name="adamw", learning_rate=1e-3, warmup_steps=100, decay="cosine", b1=0.9, b2=0.999)
        | dict(weight_decay=0.0, clip_norm=0.0, skip_norm=0.0, max_skips=50)
    )
    config.mesh = ConfigDict(dict(replica=1, fsdp=-1, context=1))
    config.checkpoint = ConfigDict(dict(every=5_000, keep=3))
    config.eval = ConfigDict(dict(every=5_000, num_examples=5_000, batch_size=50))
    config.log = ConfigDict(dict(every=100))
    config.sample = ConfigDict(dict(every=5_000, num=16))
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrinks the recipe to seconds on a CPU."""
    config.update(
        dict(
            num_steps=4,
            batch_size=8,
            ema=0.9,
            data=dict(
                source="sklearn_images", path="", image_size=16, crop="random", num_workers=0
            ),
            model=dict(image_size=16, width=16, depth=1, num_codes=16, dim=4, variance=1.0),
            optimizer=dict(warmup_steps=2),
            mesh=dict(fsdp=1),
            checkpoint=dict(every=2),
            eval=dict(every=4, num_examples=16, batch_size=8),
            log=dict(every=1),
            sample=dict(every=4, num=4),
        )
    )
    return config
