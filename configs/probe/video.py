"""A probe of latents of clips: how well a transformer of 6M parameters learns them.

    strata eval --workdir runs/codec --probe configs/probe/video.py

It trains by flow matching on 2,000 clips for 10,000 steps, an hour on one GPU. Attention is over
all positions of a clip: take short clips of small frames. Compare codecs at the same settings, data
and seed.
"""


def get_probe(arg: str = "") -> dict:
    """Return the settings; `:tiny` takes seconds."""
    probe = dict(
        steps=10_000,
        marks=(1_000, 3_000, 10_000),
        batch_size=32,
        num_examples=2_000,
        learning_rate=5e-4,
        warmup_steps=500,
        ema=0.999,
        num_samples=256,
        sampler_steps=25,
        seed=0,
        denoiser=dict(name="transformer.Transformer", width=192, depth=8, heads=6, patch=2),
    )
    if arg == "tiny":
        probe |= dict(steps=4, marks=(2, 4), batch_size=2, num_examples=4, num_samples=2)
        probe |= dict(sampler_steps=2, warmup_steps=1, ema=0.5)
        probe["denoiser"] = dict(probe["denoiser"], width=24, depth=1, heads=2, patch=1)
    return probe
