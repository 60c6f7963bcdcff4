"""NVAE (Vahdat and Kautz, arXiv 2007.03898) on CIFAR-10: 131M parameters, 30 groups of latents.

    strata data pack CIFAR10_IMAGE_FOLDER --out data/cifar10
    strata train --config configs/nvae/cifar10.py --workdir runs/nvae_cifar10 --config.data.path=data/cifar10 \\
        --config.data.eval_path=data/cifar10_test

The paper's hardware and time: 8 V100 GPUs of 16 GB, 32 images each, 55 hours for 400 epochs.
Expected figure, the paper's and not ours: 2.91 bits per dimension on the test images (importance-weighted bound).

All of the authors' settings are kept, whose loss is nats of an image (objective.unit): eps and l2 are beside that.
Their half-precision scaling and their averaging of parameters between GPUs have no counterpart here.
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    """`:tiny` is a few steps of a small model on the photographs that ship with scikit-learn."""
    config = ConfigDict(dict(seed=1, dtype="float32", grad_accum_steps=1, ema=0.0))
    config.data = ConfigDict(
        dict(
            source="records",
            path="",
            eval_path="",
            image_size=32,
            eval_fraction=0.05,
            crop="center",
            flip=True,
            num_workers=2,
        )
    )
    config.model = ConfigDict(
        dict(
            name="nvae.NVAE",
            image_size=32,
            image_channels=3,
            channels=128,
            groups=(30,),
            latent_dim=20,
            cells=2,
            blocks=(2,),
            num_flows=1,
            likelihood=dict(name="logistic_mixture", num_mixtures=10, bits=8),
            padding=0,
            remat=False,
        )
    )
    config.optimizer = ConfigDict(
        dict(name="adamax", learning_rate=1e-2, decay="cosine", final_learning_rate=1e-4)
        | dict(b1=0.9, b2=0.999, eps=1e-3, l2=3e-4, clip_norm=0.0, skip_norm=0.0, max_skips=50)
    )
    config.mesh = ConfigDict(dict(replica=1, fsdp=-1, context=1))
    config.checkpoint = ConfigDict(dict(every=5_000, keep=3))
    config.eval = ConfigDict(dict(every=5_000, num_examples=5_000, batch_size=256))
    config.log = ConfigDict(dict(every=100))
    config.sample = ConfigDict(dict(every=5_000, num=16))
    schedule(config, examples=50_000, batch_size=256, epochs=400, spectral=1e-2)
    return tiny(config) if arg == "tiny" else config


def schedule(
    config: ConfigDict,
    *,
    examples: int,
    batch_size: int,
    epochs: int,
    spectral: float,
    spectral_start: float | None = None,
    warmup_epochs: int = 5,
) -> None:
    """Steps from epochs, and what changes with them.

    beta grows along a line from 1e-4 over 30% of the steps, and the groups' KL are balanced meanwhile. The weight of
    the spectral norms goes from `spectral_start`, where given, to `spectral` by a constant factor, as long as that.
    """
    a_pass = examples // batch_size
    config.batch_size, config.num_steps = batch_size, epochs * a_pass
    config.optimizer.warmup_steps = warmup_epochs * a_pass
    rising = dict(steps=round(0.3 * config.num_steps), begin=round(1e-4 * config.num_steps))
    weight = (
        dict(name="geometric", start=spectral_start, end=spectral, **rising)
        if spectral_start
        else spectral
    )
    beta = dict(name="linear", start=1e-4, end=1.0, **rising)
    config.objective = ConfigDict(dict(beta=beta, balance=True, spectral=weight, unit="image"))


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrinks any NVAE recipe to seconds on a CPU; those of colour images to one program, which is compiled once."""
    config.update(
        dict(
            num_steps=4,
            batch_size=8,
            data=dict(
                source="sklearn_images",
                path="",
                eval_path="",
                image_size=8,
                crop="random",
                num_workers=0,
            ),
            model=dict(
                image_size=8,
                channels=4,
                groups=(1, 1),
                latent_dim=2,
                cells=1,
                blocks=(1,),
                padding=0,
            ),
            optimizer=dict(warmup_steps=2),
            mesh=dict(fsdp=1),
            checkpoint=dict(every=2),
            eval=dict(every=4, num_examples=16, batch_size=8),
            log=dict(every=1),
            sample=dict(every=4, num=4),
        )
    )
    beta = dict(name="linear", start=1e-4, end=1.0, begin=0, steps=2)
    config.objective = ConfigDict(dict(beta=beta, balance=True, spectral=1e-2, unit="image"))
    config.optimizer.learning_rate = 1e-2
    if config.model.num_flows:
        config.model.num_flows, config.model.likelihood.bits, config.data.bits = 1, 8, 8
    return config
