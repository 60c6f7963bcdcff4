"""config.data -> the dataset, and the check that it fits the rest of the recipe.

config.latent_cache is a folder, filled before the first step, in which the outputs of a frozen
encoder for config.data are kept; any run with the same encoder and the same config.data reads it.
"""

import math
import pathlib
from collections.abc import Mapping
from typing import Any

from pipeline.build.optimizer import trainable
from pipeline.core import progress
from pipeline.core.construct import check_arguments, default_arguments, find
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.modalities import MODALITIES
from pipeline.core.parameters import ModelDef
from pipeline.data.videos.buckets import shapes_of
from pipeline.distributions import vector_heads
from pipeline.storage.paths import is_remote
from pipeline.training.latent_cache import LatentCache, divisor

_CACHE = "config.latent_cache"


def dataset_class(source: Any) -> Any:
    """Return the dataset class of a source's modality, such as ImageData; ImageData for no source.

    Raises:
      ConfigError: there is no such source.
    """
    from pipeline.data import sources

    modality = sources.modality_of(source) if isinstance(source, str) else "image"
    plural = MODALITIES[modality].plural
    name = f"{plural}.{modality}_data.{modality.title()}Data"
    return find("pipeline.data", name, where="data.source")


def dataset(config: Mapping[str, Any]) -> Any:
    """Open the dataset that config.data describes, such as an ImageData.

    Raises:
      ConfigError, DataError: it cannot be opened with these settings.
    """
    settings = config.get("data")
    if not isinstance(settings, Mapping):
        raise ConfigError("config.data is missing: a dict with source and the size of examples")
    kind = dataset_class(settings.get("source"))
    check_arguments(kind, settings, where="data")
    with progress.task("opening the dataset"):
        return kind(**settings)


def check_settings(settings: Mapping[str, Any]) -> None:
    """Check names and types of config.data, without opening the dataset.

    Raises:
      ConfigError: an unknown source or key, or a value of the wrong type.
    """
    shapes_of(settings.get("buckets", ()))
    check_arguments(dataset_class(settings.get("source")), settings, where="data")


def height(settings: Mapping[str, Any]) -> int | None:
    """Return the height of the images or clips of config.data; None for examples without pixels."""
    modality = dataset_class(settings["source"]).modality
    return settings["image_size"] if MODALITIES[modality].has_pixels else None


def check_dataset(config: Mapping[str, Any], data: Any, *, codec: Any = None) -> None:
    """Check that the dataset fits the batch and the model.

    Args:
      codec: the model where its latents have a grid, whose pixels and frames must fill it.

    Raises:
      ConfigError, DataError: the message names the setting to change.
    """
    model = config["model"]
    _check_sizes(model, data)
    if codec is not None:
        _check_multiples(config, codec.spatial_factor)
        _check_length(config, codec)
    _check_classes(model, data)
    _check_values(model, data)
    if config["batch_size"] > data.num_examples:
        raise DataError(
            f"there are {data.num_examples} training examples, fewer than "
            f"batch_size={config['batch_size']}: lower batch_size or add {data.what}"
        )
    if config["eval"]["every"] and not data.num_eval_examples:
        raise DataError(
            "there is nothing to evaluate on: set data.eval_path or data.eval_fraction, or "
            "eval.every=0"
        )


def latent_cache(config: Mapping[str, Any], modeldef: ModelDef, data: Any) -> LatentCache | None:
    """Return the cache of a run, or None in a run without one.

    Raises:
      ConfigError: the run trains its encoder, draws new crops in every step, or is of another kind.
    """
    folder = config["latent_cache"]
    if not folder:
        return None
    if is_remote(folder):
        raise ConfigError(f"{_CACHE}={folder!r} must be a folder on this machine")
    if config["step"] != "adversarial" or config["stages"]:
        raise ConfigError(f"{_CACHE} needs config.step='adversarial' and a run of one stage")
    model = modeldef.skeleton()
    parts = getattr(model, "encoder_parts", ())
    if not hasattr(model, "encoded"):
        raise ConfigError(f"{_CACHE}: {config['model']['name']} has no encoder that runs apart")
    trained = trainable(config)
    names = [name for name in modeldef.param_names if name.partition(".")[0] in parts]
    if any(trained.trains(name) for name in names):
        raise ConfigError(f"{_CACHE} needs a frozen encoder: set config.trainable='decoder'")
    try:
        crops = data.fixed_crops(divisor(config["batch_size"]))
    except ConfigError as error:
        raise ConfigError(f"{_CACHE}: {error}") from None
    return LatentCache(pathlib.Path(folder), modeldef, parts, crops, data.fingerprint)


def _check_sizes(model: Mapping[str, Any], data: Any) -> None:
    """Check that a model takes examples of the data's modality and size."""
    kind: Any = find("pipeline.models", model["name"], where="model")
    taken = getattr(kind, "modality", None)  # models of images and clips need not say it
    if taken != (None if MODALITIES[data.modality].has_pixels else data.modality):
        wanted = MODALITIES[taken].plural if taken else "images or clips"
        raise ConfigError(f"model.name={model['name']!r} takes {wanted}, not {data.what}")
    settings = default_arguments(kind) | dict(model)
    for name, (key, value) in data.model_sizes.items():
        if settings.get(name, value) != value:
            raise ConfigError(f"model.{name}={settings[name]}, but {key}={value}: make them equal")


def _check_values(model: Mapping[str, Any], data: Any) -> None:
    """Check that the likelihood has a density for each number of vectors."""
    if data.modality != "vector":
        return
    kind: Any = find("pipeline.models", model["name"], where="model")
    likelihood = (default_arguments(kind) | dict(model))["likelihood"]
    least = vector_heads.least(likelihood)
    if math.isfinite(least) and (name := data.first_below(least)):
        raise DataError(
            f"{name} has a number below {least:g}, for which model.likelihood={likelihood} has no "
            "density: shift the data, or set model.likelihood='gaussian'"
        )


def _check_multiples(config: Mapping[str, Any], spatial_factor: int) -> None:
    """Check that a codec's latents divide the height and width of images and clips."""
    buckets = shapes_of(config["data"].get("buckets", ()))
    side = config["data"].get("image_size", spatial_factor)
    key = "data.buckets" if buckets else "data.image_size"
    for shape in buckets or [(side, side)]:
        if any(side % spatial_factor for side in shape):
            raise ConfigError(
                f"{key}: {shape[0]}x{shape[1]} must be multiples of {spatial_factor}, the pixels "
                f"per latent of {config['model']['name']} along each side"
            )


def _check_length(config: Mapping[str, Any], codec: Any) -> None:
    """Check that the frames of a clip are a length that the codec takes."""
    frames = config["data"].get("num_frames")
    if frames is None or not codec.is_video:
        return
    time, windows = codec.temporal_factor, codec.windows
    first, step = (windows.shortest, windows.stride) if windows else (1, time)
    if frames < first or (frames - first) % step:
        below = max(first, first + (frames - first) // step * step)
        raise ConfigError(
            f"data.num_frames={frames} must be {first} + {step}k, the lengths of clips of "
            f"{config['model']['name']}; the nearest are {below} and {below + step}"
        )


def _check_classes(model: Mapping[str, Any], data: Any) -> None:
    """Check that a model that takes labels has a class for each of the data's."""
    conditioning = model.get("conditioning")
    where, settings = "model", model
    if isinstance(conditioning, Mapping):
        where, settings = "model.conditioning", conditioning
    if "num_classes" not in settings:
        return
    num_classes, labels = settings["num_classes"], data.some_labels()
    largest = max(len(data.classes) - 1, int(labels.max(initial=-1)))
    if largest >= num_classes:
        raise ConfigError(
            f"{where}.num_classes={num_classes}, but the data has labels up to {largest}: set it "
            f"to {largest + 1}"
        )
    if (labels < 0).all():
        raise DataError(
            f"{where}.num_classes={num_classes}: the examples of {data.where} have no labels, "
            "which this model needs"
        )
