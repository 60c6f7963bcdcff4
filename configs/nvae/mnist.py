"""NVAE (Vahdat and Kautz, arXiv 2007.03898) on MNIST: 33M parameters, 15 groups of latents, Bernoulli pixels.

    strata train --config configs/nvae/mnist.py --workdir runs/nvae_mnist --config.data.path=mnist.npz

The file holds `images` [n 28 28] uint8. The paper's hardware and time: 2 V100 GPUs of 16 GB, 200 images each, 21 hours
for 400 epochs. Expected figure, the paper's and not ours: 78.01 nats (importance-weighted bound), on digits that are
binarised at random anew each time; here a pixel is white above 127, and figures are not comparable with those.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

# By path, since a recipe is loaded by path and its folder need not be importable.
cifar10 = run_path(str(Path(__file__).with_name("cifar10.py")))


def get_config(arg: str = "") -> ConfigDict:
    """`:tiny` is a few steps of a small model on scikit-learn's digits."""
    config = cifar10["get_config"]()
    config.data.update(dict(source="arrays", image_size=28, flip=False, num_workers=0))
    config.data.channels = 1
    config.model.update(
        dict(
            image_size=28,
            image_channels=1,
            padding=2,
            channels=32,
            groups=(5, 10),
            blocks=(3, 3),
            num_flows=0,
        )
    )
    config.model.likelihood = ConfigDict(dict(name="bernoulli", binarize=True))
    cifar10["schedule"](config, examples=60_000, batch_size=400, epochs=400, spectral=1e-2)
    config.eval.batch_size = 400
    if arg == "tiny":
        cifar10["tiny"](config)
        config.data.source = "digits"
        config.model.padding = 2
        config.data.image_size = config.model.image_size = 8
    return config
