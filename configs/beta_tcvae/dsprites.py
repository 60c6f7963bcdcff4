"""The beta-TCVAE (arXiv 1802.04942) on dSprites: latents that vary independently.

    strata train --config configs/beta_tcvae/dsprites.py --workdir runs/beta_tcvae

The model has 502K parameters: the network of Burgess et al. (arXiv 1804.03599, appendix A) with 10
latents and Bernoulli pixels. Its KL has three parts with weights of their own, and the weight of
the total correlation is the paper's beta. Network, optimizer, beta and number of steps are those of
the public code disentangling-vae; the estimates are not, because that code weights the wrong
examples (pipeline/losses/aggregate_posterior.py), so that its losses do not compare with ours. One
GPU is enough. We have not trained it to its end, and know of no figure to expect.

The images are re-rendered (pipeline/data/sources/dsprites.py), and 15,000 of them are held out: as
many as `strata eval --factors` compares with their factors. The dataset's own images are read by

    --config.data.source=arrays \\
        --config.data.path=dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz

For other images, `num_examples` is the number of training examples, which the run logs at its
start; an override of one of the three terms sets it for all.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict, FieldReference

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on images of 32x32 pixels."""
    config = common["defaults"]()
    config.num_steps = 345_600
    config.batch_size = 64
    config.ema = 0.999

    config.data.source = "dsprites"
    config.data.path = ""
    config.data.image_size = 64
    config.data.channels = 1
    config.data.eval_fraction = 15_000 / 737_280
    config.data.num_workers = 0

    config.model.name = "vae.VAE"
    config.model.image_size = 64
    config.model.image_channels = 1
    config.model.latent_dim = 10
    config.model.channels = (32, 32, 32, 32)
    config.model.hidden = (256, 256)
    config.model.depth = 0
    config.model.likelihood = "bernoulli"
    config.model.input_range = (0.0, 1.0)

    num_examples = FieldReference(737_280 - 15_000)
    config.objective.distortion = dict(weight=1.0)
    config.objective.index_code_mi = dict(weight=1.0, num_examples=num_examples)
    config.objective.total_correlation = dict(weight=6.4, num_examples=num_examples)
    config.objective.dimension_kl = dict(
        weight=dict(name="linear", start=0.0, end=1.0, steps=10_000), num_examples=num_examples
    )

    common["adamw"](config, learning_rate=5e-4, warmup_steps=100)
    config.optimizer.decay = "constant"

    config.eval.num_examples = 3_000
    config.eval.batch_size = 64
    config.sample.num = 64
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU."""
    common["tiny"](config)
    config.ema = 0.9
    config.data.image_size = 32
    config.model.image_size = 32
    config.model.channels = (4, 4, 4)
    config.model.hidden = (16, 16)
    config.optimizer.warmup_steps = 2
    return config
