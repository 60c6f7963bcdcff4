"""CV-VAE beside Stable Diffusion 2.1 (arXiv 2405.20279): a video codec of 182.4M parameters.

    strata import --from diffusers stable-diffusion-2-1/vae --out sd21
    strata import --from image-codec sd21 --config configs/cv_vae/sd21.py --out runs/cv_vae_sd21
    strata train --config configs/cv_vae/sd21.py --workdir runs/cv_vae_sd21 --config.data.path=data/videos \\
        --config.data.image_path=data/images --config.objective.compatibility.codec=sd21 \\
        --config.objective.perceptual.weights=vgg16-397923af.pth --config.objective.perceptual.heads=vgg.pth

The network as the authors configure it; of training, what they publish for their model beside SD 3: half of the batches
images, clips of 17 frames at 256x256, L1 + 0.5 LPIPS, the frozen image decoder on every latent frame, a discriminator
of clips, AdamW (0.9, 0.98) with eps 1e-4 from 2e-5 down a cosine, 200,000 steps at most. Smaller frames and images are
enlarged, and up to 5,000 files may be unreadable.
Where we deviate: norms take each frame for itself, so that the encoder is causal and that training starts as the image
codec (pipeline/models/cv_vae.py); the KL's weight is 1e-6 (theirs says 1, in another unit); their learned variances are
1; images are as large as clips, in batches of the same size; clips are of every frame (theirs: of every first to
eighth, drawn for each; --config.data.stride=4 is one in between), and a video shorter than a clip repeats its last
frame.
Latents are exact in chunks of time, and frames are not (`encoder_causal` and `decoder_causal` in the codec's
config.json): the decoder looks a frame ahead. With the authors' norms the encoder sees all frames, and latents are not
exact either. docs/codecs.md has what that changes.
Expected figures, as the WF-VAE paper measured and not ours, 33 frames at 256x256: WebVid 30.76 dB, Panda70M 30.18 dB.
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    """`:tiny` is a few steps of a narrow network, with no image codec beside it, on moving crops."""
    config = ConfigDict(dict(num_steps=200_000, batch_size=8, seed=0, step="adversarial"))
    config.dtype = "float32"
    config.grad_accum_steps = 1
    config.ema = 0.999
    config.data = ConfigDict(
        dict(
            source="videos", path="", image_size=256, num_frames=17, fps=0, stride=1, short="repeat"
        )
        | dict(
            resize="fit",
            crop="random",
            flip=True,
            image_fraction=0.5,
            image_source="folder",
            image_path="",
        )
        | dict(num_workers=16, max_unreadable=5_000)
    )
    config.model = ConfigDict(
        dict(
            name="cv_vae.CVVAE",
            image_size=256,
            num_frames=17,
            channels=(128, 256, 512, 512),
            latent_channels=4,
        )
        | dict(num_blocks=2, groups=32, norm_per_frame=True, remat=True)
    )
    config.objective = ConfigDict(
        dict(
            reconstruction="l1",
            logvar=0.0,
            per_frame=True,
            perceptual=dict(weight=0.5, network="vgg16", weights="", heads=""),
            kl=1e-6,
            compatibility=dict(weight=1.0, codec=""),
            adversarial=dict(
                loss="hinge", weight=0.5, adaptive=True, max_weight=1e4, eps=1e-4, start=0
            ),
        )
    )
    config.discriminator = ConfigDict(dict(name="patchgan.PatchGAN3D", channels=64, num_layers=4))
    config.optimizer = ConfigDict(
        dict(name="adamw", learning_rate=2e-5, warmup_steps=1_000, decay="cosine", b1=0.9, b2=0.98)
        | dict(final_learning_rate=1e-7, weight_decay=0.01)
    )
    # Their eps is beside their loss; ours is divided by a frame's values, the discriminator's is not.
    config.discriminator.optimizer = ConfigDict(dict(eps=1e-4))
    config.optimizer.eps = 1e-4 / (3 * 256**2)
    config.mesh = ConfigDict(dict(replica=1, fsdp=-1, context=1))
    config.checkpoint = ConfigDict(dict(every=2_000, keep=3))
    config.eval = ConfigDict(dict(every=5_000, num_examples=64, batch_size=8))
    config.log = ConfigDict(dict(every=50))
    config.sample = ConfigDict(dict(every=5_000, num=4))
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Clips of 5 frames of 16x16 pixels; two steps alone, and two with a discriminator."""
    config.update(
        dict(
            num_steps=4,
            batch_size=2,
            ema=0.9,
            data=dict(
                source="moving_crops", image_source="", image_size=16, num_frames=5, num_workers=0
            ),
            model=dict(
                channels=(4, 4, 8, 8),
                num_blocks=1,
                groups=2,
                remat=False,
                image_size=16,
                num_frames=5,
            ),
            objective=dict(
                perceptual=dict(weight=0.0),
                compatibility=dict(weight=0.0),
                adversarial=dict(start=2),
            ),
            discriminator=dict(channels=4, num_layers=1),
            optimizer=dict(warmup_steps=2),
            mesh=dict(fsdp=1),
            checkpoint=dict(every=2),
            eval=dict(every=4, num_examples=4, batch_size=2),
            log=dict(every=1),
            sample=dict(every=4, num=2),
        )
    )
    return config
