"""Feature vectors of images and clips from a frozen network, for Frechet distances.

    embedding, weights = embedding.create(
        "inception", weights="pt_inception-2015-12-05-6726825d.pth", is_video=False,
        where="--features"
    )
    embedding(weights, images)          # [n d]

Each network has its own metric in the catalogue: Inception v3 gives "rfid" and I3D gives "fvd". The
other trunks and the random network, which needs no file, give neither.
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
from pipeline.metrics import catalogue

RANDOM = "random"


@dataclasses.dataclass(frozen=True)
class Network:
    """A network, its file of weights, and the metric of its features.

    Attributes:
      features: maps (weights, x), images or clips in [-1, 1], to a feature map; its mean over
        pixels (or time) is the vector.
      convert: maps the file's tensors and its path to `weights`.
      source: address of the file.
      metric: name of the Frechet distance in the catalogue.
      of_clips: whether an example is a clip instead of an image.
    """

    features: Callable[[Mapping[str, Array], Array], Array]
    convert: Callable[..., dict[str, np.ndarray]]
    source: str
    metric: str
    of_clips: bool = False


def _trunk(name: str) -> Network:
    network = lpips.NETWORKS[name]
    return Network(
        lambda weights, x: network.trunk.features(weights, network.scale(x))[-1],
        network.convert,
        network.source,
        f"{name}_feature_distance",
    )


NETWORKS = {name: _trunk(name) for name in lpips.NETWORKS} | {
    "inception": Network(inception.features, inception.convert, inception.SOURCE, "rfid"),
    "i3d": Network(i3d.features, i3d.convert, i3d.SOURCE, "fvd", of_clips=True),
}


@dataclasses.dataclass(frozen=True)
class Embedding:
    """The last map of a network, averaged over its pixels (and frames).

    Attributes:
      network: its name, or RANDOM.
      of_clips: whether an example is a whole clip, or each of its frames.
      fingerprint: sha256 of the weights from the network's file.
    """

    network: str
    of_clips: bool
    fingerprint: str = ""

    @property
    def metric(self) -> str:
        """Return the catalogue's name for a Frechet distance of these vectors."""
        if self.network == RANDOM:
            return f"{RANDOM}_feature_distance"
        return NETWORKS[self.network].metric

    @property
    def protocol(self) -> str:
        """Return how a Frechet distance of these vectors is computed, and from which weights."""
        details = [f"one vector per {'clip' if self.of_clips else 'image or frame'}"]
        if self.fingerprint:
            details.append(f"sha256 of its weights {self.fingerprint[:12]}")
        return catalogue.protocol([self.metric], {self.metric: ", ".join(details)})

    def __call__(
        self, weights: Mapping[str, Array], x: Shaped[Array, "b *t h w c"]
    ) -> Float[Array, "n d"]:
        """Return one vector per clip, or per image and frame.

        `x` is uint8 or in [-1, 1]; grey images are used as three equal channels.
        """
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
    """Return an embedding and its arrays.

    The random network and I3D embed whole clips; every other network embeds frames.

    Raises:
      ConfigError: an unknown network, one without its file, or one of clips for a model of images.
      DataError: a file that does not hold the network's weights.
    """
    if network == RANDOM:
        if weights:
            raise ConfigError(
                f"{where}.network is missing: name the network of {weights}, one of "
                f"{', '.join(NETWORKS)}"
            )
        return Embedding(RANDOM, of_clips=is_video), random_network.create(is_video=is_video)
    if network not in NETWORKS:
        raise ConfigError(f"{where}.network={network!r}: {nearest(network, (RANDOM, *NETWORKS))}")
    chosen = NETWORKS[network]
    if chosen.of_clips and not is_video:
        raise ConfigError(
            f"{where}.network={network} needs clips, but the model is of images: use inception"
        )
    if not weights:
        raise ConfigError(f"{where}.weights is missing: {network} needs its file ({chosen.source})")
    arrays = chosen.convert(weight_files.load(weights), weights)
    return Embedding(network, chosen.of_clips, fingerprint_of(arrays)), arrays
