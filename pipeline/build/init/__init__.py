"""config.init -> a codec whose model and weights a run starts from.

    config.init = dict(codec="codec/")                        # every array, and the model itself
    config.init = dict(codec="codec/", arrays=("encoder",))   # these arrays; the others are new
    config.init = dict(encoder="dinov2_vitb14_reg4.pth")      # a frozen encoder's trained weights

With every array the recipe may leave config.model out, or give only settings that differ, such as
remat; image_size and num_frames are then those of config.data. `arrays` are regular expressions on
names of arrays.

A model whose encoder is one of pipeline.frozen, such as RAE's, starts from the file of its trained
weights, or from a codec that has them. It is never made up: only `encoder="untrained"`, for tests,
leaves it as it is initialized, and that is reported.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.build.init import frozen_encoder
from pipeline.build.optimizer import trainable
from pipeline.codec.latent_origin import encoder_digest
from pipeline.core.construct import check_arguments, find, nearest
from pipeline.core.errors import ConfigError
from pipeline.formats.names import first_few


def settings(
    *, codec: str = "", arrays: Sequence[str] | str = (), encoder: str = ""
) -> tuple[str, tuple[str, ...]]:
    """Return the codec and the patterns of arrays; the arguments are the keys of config.init.

    encoder: a file or folder of the weights of a frozen encoder (pipeline.frozen.encoder_files).
    """
    del encoder  # pipeline.build.frozen_encoder reads it
    return codec, (arrays,) if isinstance(arrays, str) else tuple(arrays)


def of(config: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return the codec that a run starts from, or "", and the patterns of arrays taken from it.

    Raises:
      ConfigError: config.init has another key or type.
    """
    given = config.get("init", {})
    if not isinstance(given, Mapping):
        raise ConfigError(f"config.init={given!r} must be a dict, such as dict(codec='codec/')")
    check_arguments(settings, given, where="config.init")
    return settings(**given)


def model_of(config: Mapping[str, Any]) -> Any:
    """Return config.model, taken from the codec of config.init where the recipe names no model.

    Raises:
      ConfigError: there is no such codec. CheckpointError: it is damaged.
    """
    given = config.get("model", {})
    codec, _ = of(config)
    if not codec or not isinstance(given, Mapping) or "name" in given:
        return given
    model, data = read(codec).config["model"], config.get("data", {})
    kind: Any = find("pipeline.models", model["name"], where="model")
    sizes = ("image_size", "num_frames") if kind.codec_kind == "any_size" else ()
    own = {key: data[key] for key in sizes if key in data and key in model}
    return {**model, **own, **given}


def read(codec: str) -> Any:
    """Return the codec of a folder, as `Codec.from_pretrained` finds it."""
    from pipeline.pretrained.load import (
        Codec,
    )  # here, because it is slow to import and seldom needed

    return Codec.from_pretrained(codec)


def arrays(
    config: Mapping[str, Any], params: Mapping[str, Any], model_state: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Return the arrays that a run takes from the codec of config.init, by name.

    Args:
      params, model_state: the model's arrays, or their shapes.

    Raises:
      ConfigError: an array is missing on one side, or has another shape; the message names it.
    """
    codec, patterns = of(config)
    frozen = frozen_encoder.arrays(config, params)
    if not codec:
        return frozen
    found = read(codec)
    weights, wanted = found.weights, {**params, **model_state}
    where = f"config.init.codec={codec!r}"
    if patterns:
        weights = _chosen(weights, patterns, where)
        wanted = _chosen(wanted, patterns, "config.model")
    problems = [
        f"{len(names)} {what} ({first_few(sorted(names))})"
        for what, names in (
            ("that it lacks", wanted.keys() - weights.keys()),
            ("that config.model lacks", weights.keys() - wanted.keys()),
        )
        if names
    ]
    wrong = [
        f"{name} is {list(weights[name].shape)} there and {list(wanted[name].shape)} here"
        for name in sorted(weights.keys() & wanted.keys())
        if weights[name].shape != wanted[name].shape
    ]
    problems += [f"{len(wrong)} of another shape ({first_few(wrong)})"] if wrong else []
    if problems:
        raise ConfigError(
            f"{where} does not fit config.model: arrays {'; '.join(problems)}. Without "
            "config.model.name the run takes the codec's model"
        )
    return {name: np.asarray(array) for name, array in weights.items()} | frozen


def _chosen(arrays: Mapping[str, Any], patterns: Sequence[str], where: str) -> dict[str, Any]:
    for pattern in patterns:
        if not any(re.search(pattern, name) for name in arrays):
            raise ConfigError(
                f"config.init.arrays: {pattern!r} is found in no array of {where}: "
                f"{nearest(pattern, {name.rpartition('.')[0] for name in arrays})[:300]}"
            )
    return {
        name: array
        for name, array in arrays.items()
        if any(re.search(pattern, name) for pattern in patterns)
    }


def origin(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a run's checkpoints record of the codec that it starts from; None without one.

    "codec" is its name without the folders above it, "fingerprint" that of all its weights,
    "encoder_sha256" that of the arrays on which its latents depend, where its model says which, and
    "latents" the statistics of its latents, where it has them.
    """
    codec, patterns = of(config)
    if not codec:
        return frozen_encoder.origin(config)
    found = read(codec)
    name = str(codec).rstrip("/").rpartition("/")[2]
    about = {"codec": name, "fingerprint": found.fingerprint}
    if patterns:
        about["arrays"] = list(patterns)
    digest = encoder_digest(found.config["model"], found.weights)
    about |= {} if digest is None else {"encoder_sha256": digest}
    return about | ({"latents": found.config["latents"]} if found.config.get("latents") else {})


def latent_warning(config: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return a line if a run that starts from a codec changes what its latents mean, else "".

    Args:
      names: the names of the model's arrays.
    """
    codec, patterns = of(config)
    if not codec:
        return ""
    kind: Any = find("pipeline.models", config["model"]["name"], where="model")
    parts = getattr(kind, "encoder_parts", None)
    taken = [name for name in names if not patterns or any(re.search(p, name) for p in patterns)]
    encoder = [name for name in taken if parts is None or name.partition(".")[0] in parts]
    trained = [name for name in encoder if trainable(config).trains(name)]
    if not trained:
        return ""
    return (
        f"this run changes the latents of {codec}: {len(trained)} of the arrays that they depend "
        f"on are trained ({first_few(trained)}), so that models of its latents no longer fit; "
        "config.trainable='decoder' keeps them"
    )
