"""NVAE (arXiv 2007.03898) on MNIST: 33M parameters, 15 groups, Bernoulli pixels.

    strata train --config configs/nvae/mnist.py --workdir runs/nvae_mnist \\
        --config.data.path=mnist.npz

The file holds `images` [n 28 28] uint8. The paper's hardware and time: 2 V100 GPUs of 16 GB, 200
images each, 21 hours for 400 epochs. Expected figure, the paper's and not ours: 78.01 nats
(importance-weighted bound), on digits that are binarised at random anew each time. Here a pixel is
white above 127, so that figures do not compare with the paper's.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

cifar10 = run_path(str(Path(__file__).with_name("cifar10.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a small model on scikit-learn's digits."""
    config = cifar10["get_config"]()
    config.data.source = "arrays"
    config.data.image_size = 28
    config.data.channels = 1
    config.data.flip = False
    config.data.num_workers = 0
    config.model.image_size = 28
    config.model.image_channels = 1
    config.model.padding = 2
    config.model.channels = 32
    config.model.groups = (5, 10)
    config.model.blocks = (3, 3)
    config.model.num_flows = 0
    config.model.likelihood = dict(name="bernoulli", binarize=True)
    config.eval.batch_size = 400
    cifar10["schedule"](config, examples=60_000, batch_size=400, epochs=400, spectral=1e-2)
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink as in configs/nvae/cifar10.py, to digits of 8x8 that are padded by 2 pixels."""
    cifar10["tiny"](config)
    config.data.source = "digits"
    config.data.image_size = 8
    config.model.image_size = 8
    config.model.padding = 2
    return config
