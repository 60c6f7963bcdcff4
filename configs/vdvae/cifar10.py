"""VDVAE (Child, arXiv 2011.10650) on CIFAR-10: 39M parameters, 43 stochastic layers.

    strata data pack CIFAR10_IMAGE_FOLDER --out data/cifar10
    strata train --config configs/vdvae/cifar10.py --workdir runs/vdvae_cifar10 \\
        --config.data.path=data/cifar10

The paper's hardware and time: 2 GPUs, under a week, 650 thousand to 1.05 million steps.
Expected figure, the paper's and not ours: 2.87 bits per dimension on the test images (one-sample ELBO).
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    """`:tiny` is a few steps of a small model on the photographs that ship with scikit-learn."""
    config = ConfigDict(
        dict(
            num_steps=1_000_000,
            batch_size=32,
            seed=0,
            dtype="float32",
            grad_accum_steps=1,
            ema=0.9999,
        )
    )
    # As the authors: a tenth of the training images held out, and no augmentation.
    config.data = ConfigDict(
        dict(
            source="records",
            path="",
            eval_path="",
            image_size=32,
            eval_fraction=0.1,
            crop="center",
            flip=False,
            num_workers=2,
        )
    )
    config.model = ConfigDict(
        dict(
            name="vdvae.VDVAE",
            enc_blocks="32x11,32d2,16x6,16d2,8x6,8d2,4x3,4d4,1x3",
            dec_blocks="1x1,4m1,4x2,8m4,8x5,16m8,16x10,32m16,32x21",
            width=384,
            zdim=16,
            custom_widths="",
            bottleneck_multiple=0.25,
            no_bias_above=64,
            num_mixtures=10,
            image_size=32,
            input_shift=-120.63838,
            input_scale=1 / 64.16736,
            bits=8,
            remat=False,
        )
    )
    config.objective = ConfigDict(dict(beta=1.0))
    config.optimizer = ConfigDict(
        dict(
            name="adamw",
            learning_rate=2e-4,
            warmup_steps=100,
            decay="constant",
            b1=0.9,
            b2=0.9,
            weight_decay=0.01,
        )
        | dict(clip_norm=200.0, skip_norm=400.0, max_skips=50)
    )
    config.mesh = ConfigDict(dict(replica=1, fsdp=-1, context=1))
    config.checkpoint = ConfigDict(dict(every=10_000, keep=3))
    config.eval = ConfigDict(dict(every=10_000, num_examples=5_000, batch_size=32))
    config.log = ConfigDict(dict(every=100))
    config.sample = ConfigDict(dict(every=10_000, num=16))
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrinks any VDVAE recipe to seconds on a CPU; those of one bit depth to one program, which is compiled once."""
    config.update(
        dict(
            num_steps=4,
            batch_size=8,
            ema=0.9,
            data=dict(
                source="sklearn_images",
                path="",
                eval_path="",
                image_size=16,
                crop="random",
                num_workers=0,
            ),
            model=dict(
                enc_blocks="16x1,16d4,4x1,4d4,1x1", dec_blocks="1x1,4m1,4x1,16m4", custom_widths=""
            )
            | dict(
                width=16,
                zdim=4,
                num_mixtures=2,
                image_size=16,
                input_shift=-120.63838,
                input_scale=1 / 64.16736,
            ),
            optimizer=dict(learning_rate=2e-4, warmup_steps=2, clip_norm=200.0, skip_norm=400.0),
            mesh=dict(fsdp=1),
            checkpoint=dict(every=2),
            eval=dict(every=4, num_examples=16, batch_size=8),
            log=dict(every=1),
            sample=dict(every=4, num=4),
        )
    )
    return config
