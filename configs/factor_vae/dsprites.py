"""FactorVAE (arXiv 1802.05983) on dSprites: a discriminator estimates the total correlation.

    strata train --config configs/factor_vae/dsprites.py --workdir runs/factor_vae

The model has 498K parameters: the paper's network (appendix A) with 10 latents and Bernoulli
pixels. A discriminator of 5M parameters tells its latents from others whose elements are permuted
over the batch, and its logit times 35 is part of the loss; a later comparison (arXiv 1811.12359)
tried weights from 10 to 100. Batch size, optimizers and number of steps are the paper's. It
permutes the latents of a second batch, and we those of the same one, with the same gradient on
average. One GPU is enough. We have not trained it to its end, and know of no figure to expect.

The images are re-rendered, as in configs/beta_tcvae/dsprites.py. Weights of disentangling-vae have
the network and the weight of

    --config.model.channels="(32, 32, 32, 32)" --config.model.hidden="(256, 256)" \\
        --config.objective.latent_adversarial.weight=6.4
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

beta_tcvae = run_path(str(Path(__file__).parents[1] / "beta_tcvae" / "dsprites.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on images of 32x32 pixels."""
    config = beta_tcvae["get_config"](arg)
    if arg != "tiny":
        config.num_steps = 300_000
        config.model.channels = (32, 32, 64, 64)
        config.model.hidden = (128,)

    config.objective = ConfigDict()
    config.objective.distortion = dict(weight=1.0)
    config.objective.rate = dict(weight=1.0)
    config.objective.latent_adversarial = ConfigDict()
    config.objective.latent_adversarial.weight = 35.0

    config.optimizer.learning_rate = 1e-4

    config.discriminator = ConfigDict()
    config.discriminator.name = "mlp.MLP"
    config.discriminator.hidden = (16, 16) if arg == "tiny" else (1000,) * 6
    config.discriminator.optimizer = ConfigDict()
    config.discriminator.optimizer.learning_rate = 1e-4
    config.discriminator.optimizer.warmup_steps = 0
    config.discriminator.optimizer.b1 = 0.5
    config.discriminator.optimizer.b2 = 0.9
    config.discriminator.optimizer.clip_norm = 0.0
    return config
