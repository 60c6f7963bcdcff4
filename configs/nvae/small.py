"""The CIFAR-10 NVAE (arXiv 2007.03898), small enough for a CPU, at the published rate of 0.01.

    strata train --config configs/nvae/small.py --workdir runs/nvae_small \\
        --config.data.path=data/cifar10

The model has 596K parameters. 4 groups instead of 30, 16 channels instead of 128, batches of 8. The
rest is as in configs/nvae/cifar10.py: flows, spectral norms, balancing, batch norm, Adamax. 2,000
steps take ten minutes on a CPU core. docs/benchmarks/hierarchies.md lists the figures that it
reaches.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

cifar10 = run_path(str(Path(__file__).with_name("cifar10.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/nvae/cifar10.py."""
    if arg == "tiny":
        return cifar10["get_config"](arg)
    config = cifar10["get_config"]()
    config.model.channels = 16
    config.model.groups = (4,)
    cifar10["schedule"](config, examples=50_000, batch_size=8, epochs=1, spectral=1e-2)
    config.num_steps = 2_000
    config.optimizer.warmup_steps = 100
    config.objective.balanced_rate.weight.steps = 600
    config.objective.balanced_rate.weight.begin = 0
    config.checkpoint.every = 500
    config.eval.every = 500
    config.eval.num_examples = 512
    config.eval.batch_size = 64
    config.log.every = 10
    config.sample.every = 1_000
    return config
