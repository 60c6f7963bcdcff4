"""The feature perceptual loss of DFC-VAE (arXiv 1610.00291): VGG's first layers are compared."""

from typing import Literal

import jax.numpy as jnp

from pipeline.core.errors import ConfigError
from pipeline.formats import weight_files
from pipeline.frozen import vgg16
from pipeline.frozen.lpips import scale_caffe, scale_imagenet
from pipeline.losses.term import Term, Weight, recon_and_target

PATHS = ("weights",)  # Arguments that say where files are on this machine.
SCALINGS = {"imagenet": scale_imagenet, "caffe": scale_caffe}


def deep_features(
    *,
    weights: str = "",
    scaling: Literal["imagenet", "caffe"] = "imagenet",
    weight: Weight = 0.5,
    where: str = "objective.deep_features",
) -> Term:
    """Return the sum over relu1_1, relu2_1 and relu3_1 of half the mean squared difference.

    Equation 3 of the paper, for each image or frame; with the KL in nats its weight is 0.5 there.

    weights: file of VGG16 or VGG19 in torchvision's names. scaling: "imagenet" for torchvision's
    weights, which take colours of variance 1, and "caffe" for weights converted from Caffe, which
    take 0 to 255 in BGR minus a mean, as the authors' do: their features are far larger.
    """
    if not weights:
        raise ConfigError(
            f"{where}.weights is empty: the loss needs the weights of VGG19 "
            f"({vgg16.VGG19_SOURCE}) or VGG16; give the file, or set {where}.weight=0"
        )
    arrays = vgg16.convert_start(weight_files.load(weights), weights)
    scale = SCALINGS[scaling]

    def maps_of(frozen, image):
        x = image.reshape(-1, *image.shape[-3:])
        x = x if x.shape[-1] == 3 else jnp.repeat(x, 3, axis=-1)
        return vgg16.start_features(frozen, scale(x))

    def value(outputs, batch, step, frozen):
        recon, x = recon_and_target(outputs, batch)
        pairs = zip(maps_of(frozen, recon), maps_of(frozen, x))
        errors = [jnp.square(a - b).mean(axis=(1, 2, 3)) / 2 for a, b in pairs]
        return sum(errors[1:], errors[0]).reshape(x.shape[0], -1).sum(axis=1)

    def log(value, batch, step):
        return {"deep_features": value}

    return Term(value, weight, log_name="deep_features", likelihood=True, frozen=arrays, log=log)
