"""The adversarial autoencoder (arXiv 1511.05644) on MNIST: a discriminator in place of the KL.

    strata train --config configs/aae/mnist.py --workdir runs/aae_mnist \\
        --config.data.path=mnist.npz

The model has 1.7M parameters, 8 latents and a Gaussian posterior, one of the paper's three
(section 2.1). A discriminator tells its latents from draws of the prior, and the encoder is trained
to fool it; there is no KL, so that the logged `elbo` is no bound that training improves. The file
holds `images` [n 28 28] uint8. Adam with 1e-3, batches of 100, 250 epochs and the weight of the
encoder's part, 10 nats, are ours. One GPU is enough. We know of no figure to expect: the paper's is
a Parzen estimate from samples, and those do not compare. `log_ratio`, the discriminator's estimate
of KL(q(z) || p(z)), should stay near 0, and its loss near ln 2 = 0.69.

Deviations: convolutions where the paper has two dense layers of 1000; a prior of deviation 1 and
not 5, which rescales z alone; and both networks are updated at once, from one batch, where the
paper alternates.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

iwae = run_path(str(Path(__file__).parents[1] / "iwae" / "mnist.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains narrow networks on scikit-learn's digits."""
    config = iwae["get_config"](arg)
    if arg != "tiny":
        config.num_steps = 125_000
        config.model.latent_dim = 8
    config.data.binarize = False

    config.objective = ConfigDict()
    config.objective.distortion = dict(weight=1.0)
    config.objective.rate = dict(weight=0.0)
    config.objective.latent_adversarial = ConfigDict()
    config.objective.latent_adversarial.reference = "prior"
    config.objective.latent_adversarial.loss = "fool"
    config.objective.latent_adversarial.weight = 10.0

    config.optimizer.decay = "constant"

    config.discriminator = ConfigDict()
    config.discriminator.name = "mlp.MLP"
    config.discriminator.hidden = (16, 16) if arg == "tiny" else (1000, 1000)
    config.discriminator.slope = 0.0
    config.discriminator.num_outputs = 1
    config.discriminator.optimizer = dict(learning_rate=1e-3, b1=0.5, clip_norm=0.0)
    return config
