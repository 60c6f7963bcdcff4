"""One vector an image or clip, by a frozen network: what a Frechet distance compares sets of.

    embedding, weights = embedding.create("inception", weights="pt_inception-2015-12-05-6726825d.pth", is_video=False)
    embedding(weights, images)          # [n d]

The name of a distance tells the network: "rfid" is of Inception v3 and "fvd" of I3D, from their files;
"random_feature_distance" where there is no file, "vgg16_feature_distance" and so on are neither.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from pipeline.core import pixels
from pipeline.core.construct import nearest
from pipeline.core.errors import ConfigError
from pipeline.formats import weight_files
from pipeline.formats.fingerprint import fingerprint_of
from pipeline.frozen import i3d, inception, lpips, random_network

RANDOM = "random"


@dataclasses.dataclass(frozen=True)
class Network:
    """Features of images, or of clips, in [-1, 1], and what is to be said of them."""

    features: Callable[
        [Mapping[str, Array], Array], Array
    ]  # a map, whose mean over pixels (or time) is the vector
    convert: Callable[..., dict[str, np.ndarray]]
    source: str
    shown: str
    meaning: str
    of_clips: bool = False


def _trunk(name: str) -> Network:
    given = lpips.NETWORKS[name]
    return Network(
        lambda weights, x: given.trunk.features(weights, given.scale(x))[-1],
        given.convert,
        given.source,
        f"{name}_feature_distance",
        "the mean of the last map of its trunk; it is neither FID nor FVD",
    )


NETWORKS = {name: _trunk(name) for name in lpips.NETWORKS} | {
    "inception": Network(
        inception.features,
        inception.convert,
        inception.SOURCE,
        "rfid",
        "Inception v3's 2048 pooled features of 299x299 pixels, resized bilinearly as TensorFlow 1 does; FID, of "
        "reconstructions; published figures are of 50,000 images",
    ),
    "i3d": Network(
        i3d.features,
        i3d.convert,
        i3d.SOURCE,
        "fvd",
        "I3D's 400 logits, averaged over time, of 224x224 pixels, resized bilinearly as TensorFlow 1 does; FVD, of "
        "reconstructions; published figures depend on the number of clips and their length",
        of_clips=True,
    ),
}


@dataclasses.dataclass(frozen=True)
class Embedding:
    """The last map of a network, averaged over its pixels (and frames); `fingerprint` is of its file's weights."""

    network: str
    of_clips: bool  # whether an example is a clip, or each of its frames
    fingerprint: str = ""

    @property
    def shown(self) -> str:
        """What a distance of these vectors is called."""
        return "random_feature_distance" if self.network == RANDOM else NETWORKS[self.network].shown

    @property
    def meaning(self) -> str:
        """What it is, in words."""
        what = "clip" if self.of_clips else "image or frame"
        layer = "the mean of the last of three random layers; it is neither FID nor FVD"
        if self.network != RANDOM:
            layer = (
                f"{NETWORKS[self.network].meaning}; sha256 of its weights {self.fingerprint[:12]}"
            )
        return (
            f"{self.shown}: squared Frechet distance between originals and reconstructions, {self.network} network, "
            f"one vector a {what}: {layer}"
        )

    def __call__(
        self, weights: Mapping[str, Array], x: Shaped[Array, "b *t h w c"]
    ) -> Float[Array, "n d"]:
        """Of each clip, or of each image and frame; uint8 or [-1, 1], grey ones as three equal channels."""
        x = pixels.to_float(x)
        x = x if x.shape[-1] == 3 else jnp.repeat(x, 3, axis=-1)
        x = x if self.of_clips else x.reshape(-1, *x.shape[-3:])
        if self.network == RANDOM:
            last = random_network.features(weights, x)[-1]
        else:
            last = NETWORKS[self.network].features(weights, x)
        return last.astype(jnp.float32).mean(axis=tuple(range(1, last.ndim - 1)))


def create(
    network: str, *, weights: str, is_video: bool, where: str
) -> tuple[Embedding, dict[str, Any]]:
    """An embedding and its arrays; of clips as such for the random network and I3D, else frame by frame.

    Raises:
      ConfigError: an unknown network, one without its file, or one of clips for a model of images. DataError: a file
        that is not the network's.
    """
    if network == RANDOM:
        if weights:
            raise ConfigError(
                f"{where}.network is missing: whose weights {weights} are, of {', '.join(NETWORKS)}"
            )
        return Embedding(RANDOM, of_clips=is_video), random_network.create(is_video=is_video)
    if network not in NETWORKS:
        raise ConfigError(f"{where}.network={network!r}: {nearest(network, (RANDOM, *NETWORKS))}")
    chosen = NETWORKS[network]
    if chosen.of_clips and not is_video:
        raise ConfigError(
            f"{where}.network={network} sees clips, and the model is of images: such as inception"
        )
    if not weights:
        raise ConfigError(f"{where}.weights is missing: {network} needs its file ({chosen.source})")
    arrays = chosen.convert(weight_files.load(weights), weights)
    return Embedding(network, chosen.of_clips, fingerprint_of(arrays)), arrays
