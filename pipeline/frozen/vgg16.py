"""VGG16 (arXiv 1409.1556) as LPIPS uses it: thirteen convolutions, five of them tapped."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pipeline.core.errors import DataError
from pipeline.nn.conv import convolve

CHANNELS = (64, 128, 256, 512, 512)
SOURCE = "torchvision's vgg16: https://download.pytorch.org/models/vgg16-397923af.pth"
VGG19_SOURCE = "torchvision's vgg19: https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
# Convolutions per stage, with pooling in between. In torchvision's list of layers a convolution is
# followed by its ReLU, and a stage by its pooling.
_STAGES = (2, 2, 3, 3, 3)
_INDICES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
# The convolutions up to relu3_1, which VGG19 has at the same places and in the same shapes.
_START = (2, 2, 1)


def convert(tensors: Mapping[str, np.ndarray], path: str) -> dict[str, np.ndarray]:
    """Return weights by our names from torchvision's, without the classifier.

    Raises:
      DataError: the file is another network's.
    """
    return _convert(tensors, path, _STAGES, "VGG16", SOURCE)


def convert_start(tensors: Mapping[str, np.ndarray], path: str) -> dict[str, np.ndarray]:
    """Return the weights of `start_features` from a file of VGG16 or VGG19, as `convert` does."""
    return _convert(tensors, path, _START, "VGG16 or VGG19", f"{SOURCE}, or {VGG19_SOURCE}")


def _convert(
    tensors: Mapping[str, np.ndarray],
    path: str,
    stages: tuple[int, ...],
    network: str,
    source: str,
) -> dict[str, np.ndarray]:
    weights = {}
    channels = 3
    for stage, (indices, count, width) in enumerate(zip(_INDICES, stages, CHANNELS)):
        for number, index in enumerate(indices[:count]):
            kernel, bias = (tensors.get(f"features.{index}.{leaf}") for leaf in ("weight", "bias"))
            if (
                kernel is None
                or bias is None
                or kernel.shape != (width, channels, 3, 3)
                or bias.shape != (width,)
            ):
                found = "absent" if kernel is None else f"{list(kernel.shape)}"
                raise DataError(
                    f"{path} is not {network}: features.{index}.weight is {found}, not "
                    f"{[width, channels, 3, 3]}; expected {source}"
                )
            weights[f"{stage}.{number}.kernel"] = np.asarray(
                kernel.transpose(2, 3, 1, 0), np.float32, order="C"
            )
            weights[f"{stage}.{number}.bias"] = np.asarray(bias, np.float32)
            channels = width
    return weights


def features(
    weights: Mapping[str, Array], x: Float[Array, "n h w 3"]
) -> tuple[Float[Array, "n _ _ _"], ...]:
    """Return relu1_2, relu2_2, relu3_3, relu4_3, relu5_3 of images scaled as the network expects.

    Raises:
      DataError: the images have fewer than 16 pixels each way, and the last map would be empty.
    """
    if min(x.shape[1:3]) < 16:
        raise DataError(
            f"VGG16 needs images of 16x16 pixels or more, and these are {x.shape[1]}x{x.shape[2]}"
        )
    maps = []
    for stage, count in enumerate(_STAGES):
        x = _halved(x) if stage else x
        for number in range(count):
            x = _relu(weights, stage, number, x)
        maps.append(x)
    return tuple(maps)


def start_features(
    weights: Mapping[str, Array], x: Float[Array, "n h w 3"]
) -> tuple[Float[Array, "n _ _ _"], ...]:
    """Return relu1_1, relu2_1, relu3_1 of images scaled as the network expects.

    Raises:
      DataError: the images have fewer than 4 pixels each way.
    """
    if min(x.shape[1:3]) < 4:
        raise DataError(
            "VGG's first layers need images of 4x4 pixels or more, and these are "
            f"{x.shape[1]}x{x.shape[2]}"
        )
    maps = []
    for stage, count in enumerate(_START):
        x = _halved(x) if stage else x
        for number in range(count):
            x = _relu(weights, stage, number, x)
            if number == 0:
                maps.append(x)
    return tuple(maps)


def _relu(weights: Mapping[str, Array], stage: int, number: int, x: Array) -> Array:
    kernel, bias = (weights[f"{stage}.{number}.{leaf}"] for leaf in ("kernel", "bias"))
    return jax.nn.relu(convolve(x, kernel) + bias)


def _halved(x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
    """Return 2x2 max pooling; an odd last row or column is dropped."""
    n, h, w, c = x.shape
    return jnp.max(
        x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c), axis=(2, 4)
    )
