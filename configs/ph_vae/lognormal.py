"""PH-VAE (arXiv 2603.01800) on made-up vectors with heavy tails: no download, minutes on one core.

    strata train --config configs/ph_vae/lognormal.py --workdir runs/ph_vae
    strata eval --workdir runs/ph_vae --num_importance_samples 64
    strata sample --workdir runs/ph_vae --out samples.npy --num 5000

The model has 9,988 parameters. Each number of a vector is the time until a chain of 15 exponential
phases ends. Network, number of phases and optimizer are those of the paper; its learning rate falls
when the loss stops falling, and ours by a cosine. The vectors are 8 lognormal numbers of deviation
1, of which each two have the correlation 0.5 (pipeline/data/sources/lognormal.py); their entropy is
9.68 nats, which no model is below. docs/benchmarks/likelihoods.md compares the bound with that of
lognormal_gaussian.py, the same network with a normal distribution of each number.

For your own numbers, set config.data.source = "vectors", a path, and the number of features of data
and model. A phase-type likelihood is for numbers of at least 0; others are refused.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` has fewer phases."""
    config = common["defaults"]()
    config.num_steps = 4_000
    config.batch_size = 128
    config.ema = 0.999

    config.data.source = "lognormal"
    config.data.num_features = 8

    config.model.name = "vector_vae.VectorVAE"
    config.model.num_features = 8
    config.model.latent_dim = 10
    config.model.hidden = (32, 16)
    config.model.likelihood = dict(name="phase_type", num_phases=15)

    config.objective.unit = "image"
    config.objective.distortion = dict(weight=1.0)
    config.objective.rate = dict(weight=1.0)

    common["adamw"](config, learning_rate=1e-3, warmup_steps=100)
    config.optimizer.weight_decay = 1e-6
    config.optimizer.clip_norm = 10.0

    config.eval.num_examples = 5_000
    config.eval.every = 2_000
    config.sample.every = 0
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU."""
    common["tiny"](config)
    config.sample.every = 0
    config.ema = 0.9
    config.data.num_features = 3
    config.model.num_features = 3
    config.model.hidden = (8,)
    config.model.latent_dim = 2
    if config.model.likelihood.name == "phase_type":
        config.model.likelihood.num_phases = 3
    config.optimizer.warmup_steps = 2
    return config
