"""DFC-VAE (arXiv 1610.00291) on 64x64 crops of photographs: features of VGG are compared.

    strata train --config configs/dfc_vae/photos.py --workdir runs/dfc_vae \\
        --config.objective.deep_features.weights=vgg19-dcbb9e9d.pth

The model has 2.6M parameters. There is no loss of pixels: the reconstruction is as good as its
features after VGG19's first, third and fifth convolutions, plus the KL. 100 latents, Adam with 5e-4
and batches of 64 as in the paper, which trains on CelebA (--config.data.source=folder
--config.data.path=celeba); the two photographs that ship with scikit-learn are here so that the
recipe runs without data. One GPU, minutes an epoch. The paper has no figure that compares: look at
the reconstructions next to those of configs/vae/photos.py.

Deviations: the network is our plain VAE with the authors' widths, without batch norm, with ReLU for
leaky ReLU and transposed convolutions for repeated pixels. torchvision's weights take the place of
Caffe's; for those, set config.objective.deep_features.scaling="caffe".
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

common = run_path(str(Path(__file__).parents[1] / "common.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` trains a narrow network on pixels, without VGG."""
    config = common["defaults"]()
    config.num_steps = 15_000
    config.batch_size = 64
    config.ema = 0.999
    config.step = "adversarial"

    config.data.source = "sklearn_images"
    config.data.path = ""
    config.data.image_size = 64
    config.data.crop = "random"
    config.data.flip = True
    config.data.num_workers = 0

    config.model.name = "vae.VAE"
    config.model.image_size = 64
    config.model.image_channels = 3
    config.model.latent_dim = 100
    config.model.channels = (32, 64, 128, 256)
    config.model.hidden = ()
    config.model.depth = 0
    # Only its mean is used, which stays in [-1, 1].
    config.model.likelihood = "bernoulli"

    config.objective.deep_features = dict(weight=0.5, weights="", scaling="imagenet")
    config.objective.l2 = dict(weight=0.0)
    config.objective.rate = dict(weight=1.0)

    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 5e-4
    config.optimizer.b1 = 0.5
    config.optimizer.b2 = 0.999
    config.optimizer.weight_decay = 0.0

    config.checkpoint.every = 1_000
    config.eval.every = 1_000
    config.eval.num_examples = 128
    config.eval.batch_size = 64
    config.sample.every = 1_000
    config.sample.num = 64
    return tiny(config) if arg == "tiny" else config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrink the recipe to seconds on a CPU."""
    common["tiny"](config)
    config.ema = 0.9
    config.data.image_size = 16
    config.model.image_size = 16
    config.model.latent_dim = 8
    config.model.channels = (4, 8)
    config.objective.deep_features.weight = 0.0
    config.objective.l2.weight = 1.0
    return config
