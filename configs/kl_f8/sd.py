"""Stable Diffusion's autoencoder (arXiv 2112.10752): 83.7M parameters, 8x8 pixels to 4 numbers.

    strata train --config configs/kl_f8/sd.py --workdir runs/kl_f8_sd --config.data.path=data/imagenet \\
        --config.objective.perceptual.weights=vgg16-397923af.pth --config.objective.perceptual.heads=vgg.pth

L1 and LPIPS and a KL of 1e-6, a discriminator of patches from step 50,000 on, Adam with the authors' rate of 4.5e-6,
which their trainer multiplies by the batch. The files of VGG16 and of LPIPS's heads are torchvision's and the LPIPS
authors'. Images smaller than 256 pixels are enlarged. Where we deviate: each step trains autoencoder and discriminator
on the same batch, and the discriminator normalises each example for itself (--config.discriminator.norm=batch is the
authors'). The paper gives no hardware or number of steps for this model.
Expected figures on ImageNet's validation set at 256x256, the authors' and not ours: PSNR 24.19 dB, rFID 0.90.
Their released weights: strata import --from diffusers DIR --out CODEC.
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    """`:tiny` is a few steps of a narrow network, without a perceptual distance, on scikit-learn's photographs."""
    config = ConfigDict(dict(num_steps=250_000, batch_size=24, seed=0, step="adversarial"))
    config.dtype = "float32"
    config.grad_accum_steps = 1
    config.ema = 0.999
    config.data = ConfigDict(
        dict(
            source="folder",
            path="",
            image_size=256,
            resize="fit",
            crop="random",
            flip=True,
            num_workers=16,
        )
    )
    config.model = ConfigDict(
        dict(
            name="kl_f8.AutoencoderKL",
            image_size=256,
            channels=(128, 256, 512, 512),
            latent_channels=4,
        )
        | dict(num_blocks=2, quant_convs=True, groups=32, remat=False)
    )
    config.objective = ConfigDict(
        dict(
            reconstruction="l1",
            logvar=0.0,
            perceptual=dict(weight=1.0, network="vgg16", weights="", heads=""),
            kl=1e-6,
            adversarial=dict(
                loss="hinge", weight=0.5, adaptive=True, max_weight=1e4, eps=1e-4, start=50_000
            ),
        )
    )
    config.discriminator = ConfigDict(dict(name="patchgan.PatchGAN2D", channels=64, num_layers=3))
    config.optimizer = ConfigDict(
        dict(name="adamw", learning_rate=24 * 4.5e-6, b1=0.5, b2=0.9, weight_decay=0.0)
    )
    # Adam's eps of 1e-8 is beside the authors' loss; ours is divided by an image's values, the discriminator's is not.
    config.discriminator.optimizer = ConfigDict(dict(eps=1e-8))
    config.optimizer.eps = 1e-8 / (3 * 256**2)
    config.mesh = ConfigDict(dict(replica=1, fsdp=-1, context=1))
    config.checkpoint = ConfigDict(dict(every=5_000, keep=3))
    config.eval = ConfigDict(dict(every=5_000, num_examples=1_000, batch_size=24))
    config.log = ConfigDict(dict(every=50))
    config.sample = ConfigDict(dict(every=5_000, num=16))
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrinks the recipe of an image codec to seconds on a CPU: two steps alone, and two with the discriminator."""
    config.update(
        dict(
            num_steps=4,
            batch_size=4,
            ema=0.9,
            data=dict(source="sklearn_images", image_size=16, num_workers=0),
            model=dict(image_size=16, num_blocks=1)
            | (
                dict(channels=(8, 16), groups=4)
                if hasattr(config.model, "channels")
                else dict(width=8)
            ),
            objective=dict(perceptual=dict(weight=0.0), adversarial=dict(start=2)),
            discriminator=dict(channels=8, num_layers=1),
            mesh=dict(fsdp=1),
            checkpoint=dict(every=2),
            eval=dict(every=4, num_examples=8, batch_size=4),
            log=dict(every=1),
            sample=dict(every=4, num=4),
        )
    )
    return config
