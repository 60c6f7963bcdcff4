"""Flags that name the files of the frozen networks of metrics.

--perceptual.network, .weights and .heads are the keys of a recipe's `objective.perceptual`.
--features.network and .weights name the network whose features a Frechet distance compares.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from absl import flags

from pipeline.cli import flags as cli_flags
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.notices import notice
from pipeline.metrics import frechet, lpips
from pipeline.metrics.catalogue import Metric

_KEYS = ("network", "weights", "heads")


@dataclasses.dataclass(frozen=True)
class Perceptual:
    """A perceptual distance with its weights, and a `detail` of them for the protocol.

    `name` is its metric in the catalogue.
    """

    name: str
    distance: Callable[..., Any]  # (weights, a, b) -> one value per image
    weights: Mapping[str, Any]
    fingerprint: str
    detail: str

    def __call__(self, a: Any, b: Any) -> Any:
        """Return one value per image, of images [b h w c]."""
        return self.distance(self.weights, a, b)


def define_perceptual(values: flags.FlagValues) -> None:
    """Define --perceptual.network, .weights and .heads."""
    flags.DEFINE_string(
        "perceptual.network",
        "vgg16",
        f"Network and metric of a perceptual distance: {_networks(lpips.METRICS)}.",
        flag_values=values,
    )
    text = "File of its weights; empty skips the distance."
    cli_flags.define_path(values, "perceptual.weights", text, default="")
    text = "File of LPIPS's learned heads for it."
    cli_flags.define_path(values, "perceptual.heads", text, default="")


def perceptual(
    values: flags.FlagValues, recipe: Mapping[str, Any] | None = None
) -> Perceptual | None:
    """Return the distance of the flags, or else of the files in a recipe's objective.perceptual.

    A recipe's files may be on another machine: if they cannot be read, that is reported on standard
    error, and the distance is left out.

    Raises:
      ConfigError: invalid flags, or a file of theirs that is missing or not the network's.
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
        notice(f"the recipe's perceptual distance is left out: {error}")
        return None


def _create(*, weights: str, network: str = "vgg16", heads: str = "", where: str) -> Perceptual:
    import jax

    from pipeline.backend.jit import jit
    from pipeline.formats.fingerprint import fingerprint_of
    from pipeline.frozen.lpips import create

    distance, arrays = create(network, weights=weights, heads=heads, where=where)
    fingerprint = fingerprint_of(arrays)
    detail = f"sha256 of its weights {fingerprint[:12]}"
    compiled = jit(distance, what="the perceptual distance")
    return Perceptual(distance.log_name, compiled, jax.device_put(arrays), fingerprint, detail)


def _networks(metrics: Iterable[Metric]) -> str:
    return ", ".join(f"{metric.network} ({metric.name})" for metric in metrics)


def define_features(values: flags.FlagValues) -> None:
    """Define --features.network and .weights."""
    flags.DEFINE_string(
        "features.network",
        "random",
        f"Network and metric of the Frechet distance: {_networks(frechet.METRICS)}. The random "
        "network needs no file.",
        flag_values=values,
    )
    cli_flags.define_path(values, "features.weights", "File of its weights.", default="")


def features(values: flags.FlagValues, *, is_video: bool) -> tuple[Any, Mapping[str, Any]]:
    """Return the network of the flags, and its weights.

    Raises:
      ConfigError: invalid flags, or a file that is missing or not the network's.
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
