"""A probe of latents of small images: how well a transformer of 2.4M parameters learns them.

    strata eval --workdir runs/codec --probe configs/probe/cifar10.py

It trains by flow matching on 10,000 examples for 3,000 steps: minutes on a GPU, about an hour on
two CPU cores. Compare codecs at the same settings, data and seed; differences below 5% are noise.
"""


def get_probe(arg: str = "") -> dict:
    """Return the settings; `:tiny` takes seconds, and `:short` minutes on a CPU."""
    probe = dict(
        steps=3_000,
        marks=(300, 1_000, 3_000),
        batch_size=128,
        num_examples=10_000,
        learning_rate=1e-3,
        warmup_steps=200,
        ema=0.999,
        num_samples=2_000,
        sampler_steps=25,
        seed=0,
        denoiser=dict(name="transformer.Transformer", width=128, depth=6, heads=4, patch=2),
    )
    if arg == "short":
        probe |= dict(steps=400, marks=(50, 200, 400), warmup_steps=50, num_examples=4_000)
        probe |= dict(num_samples=512, batch_size=64, ema=0.99)
    if arg == "tiny":
        probe |= dict(steps=4, marks=(2, 4), batch_size=4, num_examples=16, num_samples=8)
        probe |= dict(sampler_steps=2, warmup_steps=1, ema=0.5)
        probe["denoiser"] = dict(probe["denoiser"], width=16, depth=1, heads=2, patch=1)
    return probe
