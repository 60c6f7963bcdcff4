"""DIP-VAE-I (arXiv 1711.00848) on dSprites: the covariance of posterior means is to be 1.

    strata train --config configs/dip_vae/dsprites.py --workdir runs/dip_vae \
        --config.data.path=dsprites.npy

The model has 502K parameters: the network of Burgess et al. (arXiv 1804.03599, appendix A) with 10
latents and Bernoulli pixels. DIP-VAE-II, for the covariance of the latents themselves, is

    --config.objective.mean_covariance.weight=0 --config.objective.aggregate_covariance.weight=10

Batch size, learning rate, number of steps and the ratio of the two weights are those of Locatello
et al. (arXiv 1811.12359), and the weight 10 is one of their six from 1 to 50. One GPU is enough. We
have not trained it to its end, and know of no figure to expect. The file dsprites.npy is made as in
configs/beta_tcvae/dsprites.py.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on scikit-learn's digits."""
    config = common["defaults"]()
    config.num_steps = 300_000
    config.batch_size = 64
    config.ema = 0.999

    config.data.source = "arrays"
    config.data.path = ""
    config.data.image_size = 64
    config.data.channels = 1
    config.data.eval_fraction = 0.01
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

    config.objective.distortion = dict(weight=1.0)
    config.objective.rate = dict(weight=1.0)
    config.objective.mean_covariance = dict(weight=10.0, diagonal=10.0)
    config.objective.aggregate_covariance = dict(weight=0.0, diagonal=1.0)

    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1e-4
    config.optimizer.warmup_steps = 100
    config.optimizer.decay = "constant"
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.999
    config.optimizer.weight_decay = 0.0
    config.optimizer.clip_norm = 1.0
    config.optimizer.skip_norm = 0.0
    config.optimizer.max_skips = 50

    config.eval.num_examples = 3_000
    config.eval.batch_size = 64
    config.sample.num = 64
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU."""
    common["tiny"](config)
    config.ema = 0.9
    config.data.source = "digits"
    config.data.image_size = 32
    config.data.resize = "fit"
    config.model.image_size = 32
    config.model.channels = (4, 4, 4)
    config.model.hidden = (16, 16)
    config.optimizer.warmup_steps = 2
    return config
