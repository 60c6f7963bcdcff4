"""Perceptual distances between images, in the features of a trained network (LPIPS, 1801.03924).

    distance, weights = lpips.create("vgg16", weights="vgg16-397923af.pth", heads="vgg.pth")
    distance(weights, a, b)             # one value per image

`weights` are arrays by name, for the caller to pass into compiled functions. No weights come with
Strata, and none are ever made up: in a log, the distance of a random network would look like a
perceptual loss without being one.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from types import ModuleType

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from pipeline.core import pixels
from pipeline.core.construct import nearest
from pipeline.core.errors import ConfigError, DataError
from pipeline.formats import weight_files
from pipeline.frozen import squeezenet, vgg16

_EPS = 1e-10  # added to the norm of a pixel's features and not under the root, as the authors do
HEADS_SOURCE = "https://github.com/richzhang/PerceptualSimilarity/tree/master/lpips/weights/v0.1"


def scale_imagenet(image: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """Scale [-1, 1] as torchvision's networks expect, with the authors' rounded constants."""
    return (image - jnp.array([-0.030, -0.088, -0.188])) / jnp.array([0.458, 0.448, 0.450])


def scale_caffe(image: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """Scale [-1, 1] to 0..255 in BGR order, minus the mean of ImageNet."""
    return ((image + 1) * 127.5)[..., ::-1] - jnp.array([103.939, 116.779, 123.68])


@dataclasses.dataclass(frozen=True)
class Network:
    """A trunk, the scaling of its images, and the file of LPIPS's learned heads if there are any.

    `log_name` is the name of its distance in logs.
    """

    log_name: str
    trunk: ModuleType
    convert: Callable[..., dict[str, np.ndarray]]
    scale: Callable[[Array], Array]
    source: str
    heads_file: str | None


NETWORKS = {
    "vgg16": Network("lpips", vgg16, vgg16.convert, scale_imagenet, vgg16.SOURCE, "vgg.pth"),
    "squeezenet": Network(
        "lpips_squeeze",
        squeezenet,
        squeezenet.convert,
        scale_imagenet,
        squeezenet.SOURCE,
        "squeeze.pth",
    ),
    "squeezenet_caffe": Network(
        "squeezenet_caffe",
        squeezenet,
        squeezenet.convert_caffe,
        scale_caffe,
        squeezenet.CAFFE_SOURCE,
        None,
    ),
}


@dataclasses.dataclass(frozen=True)
class PerceptualDistance:
    """Squared differences of unit-length features, weighted by heads over channels (eq. 1).

    They are summed over channels, averaged over pixels and summed over feature maps. The distance
    is symmetric, and 0 for equal images. Without learned heads each weight is 1.
    """

    network: str

    @property
    def log_name(self) -> str:
        """The name in logs: "lpips" for the paper's network and heads, else the network's name."""
        return NETWORKS[self.network].log_name

    def __call__(
        self,
        weights: Mapping[str, Array],
        a: Shaped[Array, "b *t h w c"],
        b: Shaped[Array, "b *t h w c"],
    ) -> Float[Array, " b *t"]:
        """Return the distance of each image, or each frame of a clip.

        Images are uint8 or in [-1, 1]; grey ones are repeated to three channels.
        """
        a_maps, b_maps = (self._features(weights, image) for image in (a, b))
        total = jnp.zeros((), jnp.float32)
        for number, (one, other) in enumerate(zip(a_maps, b_maps)):
            squared = jnp.square(_unit(one) - _unit(other))
            total = total + (squared @ weights[f"head.{number}"]).mean(axis=(1, 2))
        return total.reshape(a.shape[:-3])

    def _features(self, weights: Mapping[str, Array], image: Array) -> tuple[Array, ...]:
        network = NETWORKS[self.network]
        x = pixels.to_float(image).reshape(-1, *image.shape[-3:])
        x = x if x.shape[-1] == 3 else jnp.repeat(x, 3, axis=-1)
        return network.trunk.features(weights, network.scale(x))


def _unit(x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    square = jnp.square(x).sum(axis=-1, keepdims=True)
    # The root's gradient is infinite at 0, for a pixel without features; the authors' is NaN there.
    length = jnp.sqrt(jnp.where(square > 0, square, 1.0))
    return x / (jnp.where(square > 0, length, 0.0) + _EPS)


def create(
    network: str, *, weights: str, heads: str = "", where: str = "objective.perceptual"
) -> tuple[PerceptualDistance, dict[str, np.ndarray]]:
    """Return a distance and its arrays, from the files of a trunk and of its learned heads, if any.

    Raises:
      ConfigError: an unknown network, or no file; the message says where to get one.
      DataError: a file is not the network's.
    """
    if network not in NETWORKS:
        raise ConfigError(f"{where}.network={network!r}: {nearest(network, NETWORKS)}")
    chosen = NETWORKS[network]
    if not weights:
        raise ConfigError(
            f"{where}.weights is empty: a perceptual loss needs the weights of {network} "
            f"({chosen.source}); give the file, or set {where}.weight=0"
        )
    if chosen.heads_file and not heads:
        raise ConfigError(
            f"{where}.heads is empty: LPIPS on {network} needs its learned heads "
            f"({HEADS_SOURCE}/{chosen.heads_file})"
        )
    if heads and not chosen.heads_file:
        raise ConfigError(
            f"{where}.heads: there are no learned heads for {network}; leave it empty"
        )
    return PerceptualDistance(network), _arrays(network, weights, heads)


# The stages of a run share them.
@functools.lru_cache(maxsize=1)
def _arrays(network: str, weights: str, heads: str) -> dict[str, np.ndarray]:
    chosen = NETWORKS[network]
    arrays = chosen.convert(weight_files.load(weights), weights)
    return arrays | _heads(heads, chosen.trunk.CHANNELS)


def _heads(path: str, channels: tuple[int, ...]) -> dict[str, np.ndarray]:
    if not path:
        return {
            f"head.{number}": np.ones(width, np.float32) for number, width in enumerate(channels)
        }
    tensors, heads = weight_files.load(path), {}
    for number, width in enumerate(channels):
        name = f"lin{number}.model.1.weight"
        array = tensors.get(name)
        if array is None or array.size != width:
            found = "absent" if array is None else f"{list(array.shape)}"
            raise DataError(
                f"{path} has no heads for this network: {name} is {found}, not {[1, width, 1, 1]}"
            )
        heads[f"head.{number}"] = np.asarray(array.reshape(-1), np.float32)
    return heads
