"""WF-VAE S (arXiv 2411.17459): 146.5M parameters, 4x8x8 pixels of a clip to 4 numbers.

    strata train --config configs/wf_vae/s_4ch.py --workdir runs/wf_vae_s_4ch --config.data.path=data/kinetics400 \\
        --config.objective.perceptual.weights=vgg16-397923af.pth --config.objective.perceptual.heads=vgg.pth

The paper's schedule (its table 7), in three stages: 800,000 steps of 25 frames; 200,000 of 49 frames at half the rate;
200,000 with a tenth of the perceptual distance; each of the last two with a new discriminator. Kinetics-400 at 256x256,
batch 8, on 8 H100 GPUs; the paper does not say how long. The files of VGG16 and of LPIPS's heads are torchvision's and
the LPIPS authors'.

Frames smaller than 256 pixels are enlarged, as theirs are, and up to 5,000 files, a fiftieth of Kinetics-400, may be
unreadable.
Where we deviate: frames are doubled in time without looking ahead, and wavelets are orthonormal (models/wf_vae.py);
each step trains codec and discriminator on the same clips, where theirs take turns; the discriminator normalises
each example for itself (--config.discriminator.norm=batch is the authors'); gradients are clipped to a norm of 1, where theirs
are not at all; the EMA warms up; clips are cut out at random and mirrored (theirs: centre, unmirrored); and a video
shorter than a clip repeats its last frame (theirs: another one is drawn).
Expected figures, the paper's and not ours, of 33 frames at 256x256: WebVid 31.39 dB, Panda70M 31.27 dB.
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    """`:tiny` is a few steps of a narrow network on crops that move over scikit-learn's photographs."""
    config = ConfigDict(dict(num_steps=1_200_000, batch_size=8, seed=0, step="adversarial"))
    config.dtype = "bfloat16"
    config.grad_accum_steps = 1
    config.ema = 0.999
    config.data = ConfigDict(
        dict(source="videos", path="", image_size=256, num_frames=25, fps=0, stride=1)
        | dict(
            short="repeat",
            resize="fit",
            crop="random",
            flip=True,
            num_workers=16,
            max_unreadable=5_000,
        )
    )
    config.model = ConfigDict(
        dict(
            name="wf_vae.WFVAE",
            base_channels=128,
            latent_channels=4,
            flow_channels=128,
            num_blocks=2,
        )
        | dict(remat=True, image_size=256, num_frames=25)
    )
    config.objective = ConfigDict(
        dict(
            reconstruction="l1",
            logvar=0.0,
            per_frame=True,
            perceptual=dict(weight=1.0, network="vgg16", weights="", heads=""),
            kl=1e-6,
            wavelet=0.1,
            adversarial=dict(
                loss="hinge", weight=0.5, adaptive=True, max_weight=1e6, eps=1e-6, start=0
            ),
        )
    )
    config.discriminator = ConfigDict(dict(name="patchgan.PatchGAN3D", channels=64, num_layers=4))
    config.optimizer = ConfigDict(
        dict(name="adamw", learning_rate=1e-5, b1=0.9, b2=0.999, weight_decay=1e-4)
    )
    # Adam's eps of 1e-8 is beside the authors' loss; ours is divided by a frame's values, the discriminator's is not.
    config.discriminator.optimizer = ConfigDict(dict(config.optimizer, eps=1e-8))
    config.optimizer.update(dict(eps=1e-8 / (3 * 256**2), clip_norm=1.0))
    longer = {"data.num_frames": 49, "data.stride": 2, "model.num_frames": 49}
    config.stages = [
        dict(num_steps=800_000),
        {"num_steps": 200_000, **longer, "reset_discriminator": True},
        {
            "num_steps": 200_000,
            **longer,
            "objective.perceptual.weight": 0.1,
            "reset_discriminator": True,
        },
    ]
    config.mesh = ConfigDict(dict(replica=1, fsdp=-1, context=1))
    config.checkpoint = ConfigDict(dict(every=5_000, keep=3))
    config.eval = ConfigDict(dict(every=5_000, num_examples=64, batch_size=8))
    config.log = ConfigDict(dict(every=50))
    config.sample = ConfigDict(dict(every=5_000, num=4))
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Clips of 5 frames of 16x16 pixels; two steps alone, and two with a discriminator."""
    config.num_steps, config.batch_size, config.ema, config.dtype = 4, 2, 0.9, "float32"
    config.stages = []
    config.data.update(dict(source="moving_crops", image_size=16, num_frames=5, num_workers=0))
    # Also of the number of latents: all sizes are then one program, compiled once.
    config.model.update(
        dict(base_channels=4, flow_channels=4, latent_channels=4, num_blocks=1, remat=False)
    )
    config.model.update(dict(image_size=16, num_frames=5))
    config.objective.perceptual.weight = 0.0
    config.objective.adversarial.start = 2
    config.discriminator.update(dict(channels=4, num_layers=1))
    config.mesh.fsdp = 1
    config.checkpoint.every = 2
    config.eval.update(dict(every=4, num_examples=4, batch_size=2))
    config.log.every = 1
    config.sample.update(dict(every=4, num=2))
    return config
