"""A VAE of sentences (Bowman et al., arXiv 1511.06349): no download, minutes on one core.

    strata train --config configs/text_vae/lines.py --workdir runs/text
    strata eval --workdir runs/text --num_importance_samples 32
    strata sample --workdir runs/text --out walk.txt --interpolate 3 17

The model has 728,304 parameters: an LSTM on either side, z in the decoder's first state and in each
of its inputs, and word dropout. The weight of the KL rises to 1 over a third of the run;
lines_cyclical.py and lines_free_bits.py keep the latents from being ignored in two other ways. The
sentences are those of Python's own manual; for your own, one on each line,

    --config.data.source=lines --config.data.path=sentences.txt

A perplexity compares with others on the same sentences and vocabulary alone: unknown words are one
token. docs/benchmarks/likelihoods.md has what we measured.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` has narrow layers and short sentences."""
    config = common["defaults"]()
    config.num_steps = 3_000
    config.batch_size = 32
    config.ema = 0.995

    config.data.source = "python_topics"
    config.data.path = ""
    config.data.num_tokens = 32
    config.data.vocabulary = "words"
    config.data.vocabulary_size = 2_000
    config.data.eval_fraction = 0.1

    config.model.name = "text_vae.TextVAE"
    config.model.num_tokens = 32
    config.model.vocabulary_size = 2_000
    config.model.embedding = 64
    config.model.width = 128
    config.model.latent_dim = 16
    config.model.word_dropout = 0.3

    config.objective.unit = "image"
    config.objective.distortion = dict(weight=1.0)
    config.objective.rate = dict(weight=dict(name="linear", start=0.0, end=1.0, steps=1_000))

    common["adamw"](config, learning_rate=3e-3, warmup_steps=100)
    config.optimizer.clip_norm = 5.0

    config.checkpoint.every = 1_000
    config.eval.num_examples = 1_000
    config.eval.every = 1_000
    config.sample.every = 0
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU."""
    common["tiny"](config)
    config.sample.every = 0
    config.ema = 0.9
    config.data.num_tokens = 6
    config.data.vocabulary_size = 50
    config.model.num_tokens = 6
    config.model.vocabulary_size = 50
    config.model.embedding = 4
    config.model.width = 8
    config.model.latent_dim = 2
    config.optimizer.warmup_steps = 2
    return config
