"""DIP-VAE-I (arXiv 1711.00848) on dSprites: the covariance of posterior means is to be 1.

    strata train --config configs/dip_vae/dsprites.py --workdir runs/dip_vae

The model has 502K parameters: the network of Burgess et al. (arXiv 1804.03599, appendix A) with 10
latents and Bernoulli pixels. DIP-VAE-II, for the covariance of the latents themselves, is

    --config.objective.mean_covariance.weight=0 --config.objective.aggregate_covariance.weight=10

Batch size, learning rate, number of steps and the ratio of the two weights are those of Locatello
et al. (arXiv 1811.12359), and the weight 10 is one of their six from 1 to 50. One GPU is enough. We
have not trained it to its end, and know of no figure to expect. The images are re-rendered, as in
configs/beta_tcvae/dsprites.py.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

beta_tcvae = run_path(str(Path(__file__).parents[1] / "beta_tcvae" / "dsprites.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a much smaller model for a few steps, for tests."""
    config = beta_tcvae["get_config"](arg)
    if arg != "tiny":
        config.num_steps = 300_000

    config.objective = ConfigDict()
    config.objective.distortion = dict(weight=1.0)
    config.objective.rate = dict(weight=1.0)
    config.objective.mean_covariance = dict(weight=10.0, diagonal=10.0)
    config.objective.aggregate_covariance = dict(weight=0.0, diagonal=1.0)

    config.optimizer.learning_rate = 1e-4
    return config
