"""Flags that name the files of frozen networks, by which results are measured.

--perceptual.network, .weights and .heads are the keys of a recipe's `objective.perceptual`; --features.network and
.weights name the network that a Frechet distance compares the features of.
"""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import Any

from absl import flags

from pipeline.core.errors import ConfigError, DataError

_KEYS = ("network", "weights", "heads")


@dataclasses.dataclass(frozen=True)
class Perceptual:
    """A perceptual distance with its weights: what it is called, and which files it stands on."""

    name: str
    distance: Callable[..., Any]  # (weights, a, b) -> one value an image
    weights: Mapping[str, Any]
    fingerprint: str
    detail: str

    def __call__(self, a: Any, b: Any) -> Any:
        """Of images [b h w c], one value each."""
        return self.distance(self.weights, a, b)


def define_perceptual(values: flags.FlagValues) -> None:
    """--perceptual.network, .weights and .heads."""
    flags.DEFINE_string(
        "perceptual.network",
        "vgg16",
        "The network of a perceptual distance: vgg16 or squeezenet (LPIPS), or squeezenet_caffe.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "perceptual.weights",
        "",
        "File of its weights; without one there is no such distance.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "perceptual.heads", "", "File of LPIPS's learned heads for it.", flag_values=values
    )


def perceptual(
    values: flags.FlagValues, recipe: Mapping[str, Any] | None = None
) -> Perceptual | None:
    """The distance that the flags ask for, or else the one that a recipe's objective.perceptual names files of.

    Raises:
      ConfigError: flags that cannot work, or a file of theirs that is missing or not the network's. What is wrong with
        a recipe's files, which may be on another machine, is told and costs the figure only.
    """
    if any(values[f"perceptual.{key}"].present for key in _KEYS):
        given = {key: str(values[f"perceptual.{key}"].value) for key in _KEYS}
        if not given["weights"]:
            raise ConfigError("--perceptual.weights is missing: the file of the network's weights")
        try:
            return _create(**given, where="--perceptual")
        except DataError as error:
            raise ConfigError(str(error)) from None
    named = {key: value for key, value in (recipe or {}).items() if key in _KEYS}
    if not named.get("weights"):
        return None
    try:
        return _create(**named, where="objective.perceptual")
    except (ConfigError, DataError) as error:
        print(f"strata: the recipe's perceptual distance is left out: {error}", file=sys.stderr)
        return None


def _create(*, weights: str, network: str = "vgg16", heads: str = "", where: str) -> Perceptual:
    import jax

    from pipeline.backend.jit import jit
    from pipeline.formats.fingerprint import fingerprint_of
    from pipeline.frozen import lpips

    distance, arrays = lpips.create(network, weights=weights, heads=heads, where=where)
    fingerprint = fingerprint_of(arrays)
    detail = f"sha256 of its weights {fingerprint[:12]}"
    return Perceptual(distance.log_name, jit(distance), jax.device_put(arrays), fingerprint, detail)


def define_features(values: flags.FlagValues) -> None:
    """--features.network and .weights."""
    flags.DEFINE_string(
        "features.network",
        "random",
        "Whose features a Frechet distance is of: inception (rfid), i3d (fvd), vgg16, squeezenet, squeezenet_caffe; or "
        "random, which needs no file and is none of these.",
        flag_values=values,
    )
    flags.DEFINE_string("features.weights", "", "File of its weights.", flag_values=values)


def features(values: flags.FlagValues, *, is_video: bool) -> tuple[Any, Mapping[str, Any]]:
    """The network that the flags ask for, and its weights.

    Raises:
      ConfigError: flags that cannot work, or a file that is missing or not the network's.
    """
    import jax

    from pipeline.metrics.functions import embedding

    network, weights = (str(values[f"features.{key}"].value) for key in ("network", "weights"))
    try:
        embed, arrays = embedding.create(
            network, weights=weights, is_video=is_video, where="--features"
        )
    except DataError as error:
        raise ConfigError(str(error)) from None
    return embed, jax.device_put(arrays)
