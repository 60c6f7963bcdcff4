"""The importance-weighted autoencoder (arXiv 1509.00519) on binarised MNIST: 50 samples, DReG.

    strata train --config configs/iwae/mnist.py --workdir runs/iwae_mnist \
        --config.data.path=mnist.npz
    strata eval --workdir runs/iwae_mnist --num_importance_samples 5000

The model has 1.7M parameters: convolutions where the paper has dense layers, and its 50 latents.
The file holds `images` [n 28 28] uint8. Pixels are drawn anew in each epoch, with their grey values
as probabilities; a sixth of the images is held out for evaluation and binarised once.

The encoder's gradient is DReG's (arXiv 1810.04152). The paper's own is
--config.objective.importance.gradient=reparameterized. For more or fewer samples, set
--config.objective.importance.num_samples; 0 trains on the ELBO. One GPU is enough. Expected figure,
the paper's and not ours: 84.78 nats (importance-weighted bound of 5,000 samples, test images);
86.76 if trained on the ELBO.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on scikit-learn's digits."""
    config = common["defaults"]()
    config.num_steps = 250_000
    config.batch_size = 100
    config.ema = 0.999

    common["mnist"](config)

    config.model.name = "vae.VAE"
    config.model.image_size = 28
    config.model.image_channels = 1
    config.model.latent_dim = 50
    config.model.channels = (32, 64)
    config.model.hidden = (256,)
    config.model.depth = 0
    config.model.likelihood = "bernoulli"
    config.model.input_range = (0.0, 1.0)

    config.objective.distortion = dict(weight=1.0)
    config.objective.rate = dict(weight=1.0)
    config.objective.importance = dict(num_samples=50, gradient="doubly_reparameterized")

    common["adamw"](config, learning_rate=1e-3, warmup_steps=100)

    config.eval.num_examples = 3_000
    config.eval.batch_size = 64
    config.sample.num = 64
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU."""
    common["tiny"](config)
    config.ema = 0.9
    config.data.source = "digits"
    config.data.image_size = 8
    config.model.image_size = 8
    config.model.latent_dim = 4
    config.model.channels = (4, 4)
    config.model.hidden = (16,)
    config.objective.importance.num_samples = 3
    config.optimizer.warmup_steps = 2
    return config
