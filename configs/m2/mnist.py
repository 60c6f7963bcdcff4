"""Semi-supervised VAE with 100 labels on MNIST: M2 of Kingma et al. (arXiv 1406.5298).

    strata train --config configs/m2/mnist.py --workdir runs/m2 --config.data.path=mnist.npz
    strata eval --workdir runs/m2

The model has 1.3M parameters: three networks with a hidden layer of 500, 50 latents, and the
class as a latent where it is unknown. `data.num_labelled` training examples keep their label, ten
of each digit, and `data.labelled_seed` says which. Expect 11.97 +- 1.71% error with 100 labels: the
paper's, of M2 alone, trained for 3,000 passes; ours is in docs/benchmarks/labels.md.

The .npz holds `images` [n 28 28] and `labels` [n] of MNIST's 60,000 training images, of which
50,000 are trained on. One GPU, or hours on a CPU.

Deviations: a batch is drawn from all training images, where the paper has one labelled example in
each; weight decay replaces the prior of the weights; and images become 0 or 1 at random anew each
time they are shown.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict, FieldReference

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on scikit-learn's digits."""
    config = common["defaults"]()
    config.num_steps = 300_000
    config.batch_size = 500
    config.ema = 0.999

    num_labelled = FieldReference(100)
    common["mnist"](config)
    config.data.num_labelled = num_labelled
    config.data.labelled_seed = 0

    config.model.name = "m2.M2"
    config.model.image_size = 28
    config.model.image_channels = 1
    config.model.num_classes = 10
    config.model.latent_dim = 50
    config.model.hidden = (500,)
    config.model.likelihood = "bernoulli"

    config.objective.class_bound = dict(weight=1.0)
    # The weight is the paper's alpha divided by the number of examples.
    config.objective.classification = dict(
        weight=0.1, num_examples=50_000, num_labelled=num_labelled
    )

    common["adamw"](config, learning_rate=3e-4, warmup_steps=100)
    config.optimizer.decay = "constant"
    config.optimizer.weight_decay = 0.01
    config.optimizer.clip_norm = 0.0

    config.eval.num_examples = 10_000
    config.eval.batch_size = 500
    config.sample.num = 60
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU."""
    common["tiny"](config)
    config.ema = 0.9
    config.data.source = "digits"
    config.data.image_size = 8
    config.model.image_size = 8
    config.model.latent_dim = 4
    config.model.hidden = (16,)
    config.objective.classification.num_examples = 1_498
    config.optimizer.warmup_steps = 2
    return config
