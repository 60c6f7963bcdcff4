"""config.init.encoder -> the trained weights of a frozen encoder that is a part of the model."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.core.construct import load
from pipeline.core.errors import ConfigError
from pipeline.core.notices import notice
from pipeline.formats.fingerprint import fingerprint_of
from pipeline.frozen import encoder

UNTRAINED = "untrained"
_PREFIX = "encoder.network."


def arrays(config: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the arrays of the model's frozen encoder by name; {} for a model without one, or where
    the codec of config.init has them.

    Args:
      params: the model's parameters, or their shapes.

    Raises:
      ConfigError: there is no file, or it does not fit the model; the message has the remedy.
      DataError, CheckpointError: the file is missing or damaged.
    """
    given = config.get("init", {})
    family = _family(config)
    path = given.get("encoder", "")
    if family is None:
        if path:
            raise ConfigError(
                "config.init.encoder: config.model.encoder is not a frozen encoder; leave it empty"
            )
        return {}
    if not path and given.get("codec"):
        return {}
    if path == UNTRAINED:
        notice(f"the frozen encoder {family} is untrained: this run is a test of the code")
        return {}
    if not path:
        source = load(encoder.ENCODERS, family, where="model.encoder.family").SOURCE
        raise ConfigError(
            f"config.init.encoder is empty: the trained weights of {family} are needed, and none "
            f"come with Strata; get them from {source}, and give the folder or file, or a codec "
            "that has them as config.init.codec"
        )
    network = config["model"]["encoder"]["network"]
    found = encoder.arrays_for(family, path, network)
    wanted = {name.removeprefix(_PREFIX) for name in params if name.startswith(_PREFIX)}
    assert found.keys() == wanted
    return {f"{_PREFIX}{name}": array for name, array in found.items()}


def origin(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a run's checkpoints record of the encoder's file; None without one.

    "encoder" is the file's name without the folders above it, "family" its kind, and "fingerprint"
    that of its arrays.
    """
    path, family = config.get("init", {}).get("encoder", ""), _family(config)
    if family is None or path in ("", UNTRAINED):
        return None
    found = encoder.arrays_for(family, path, config["model"]["encoder"]["network"])
    name = str(path).rstrip("/").rpartition("/")[2]
    return {"encoder": name, "family": family, "fingerprint": fingerprint_of(found)}


def _family(config: Mapping[str, Any]) -> str | None:
    part = config["model"].get("encoder")
    found = isinstance(part, Mapping) and "family" in part and "network" in part
    return str(part["family"]) if found else None
