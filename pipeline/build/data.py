"""config.data -> the dataset, and the check that it fits the rest of the recipe."""

from collections.abc import Mapping
from typing import Any

from pipeline.core import progress
from pipeline.core.construct import check_arguments
from pipeline.core.errors import ConfigError, DataError
from pipeline.data.videos.buckets import shapes_of


def dataset_class(source: Any) -> Any:
    """Return VideoData for sources of videos, ImageData for all others."""
    from pipeline.data import sources

    if isinstance(source, str) and sources.modality_of(source) == "video":
        from pipeline.data.videos.video_data import VideoData

        return VideoData
    from pipeline.data.images.image_data import ImageData

    return ImageData


def dataset(config: Mapping[str, Any]) -> Any:
    """Open the dataset that config.data describes: an ImageData or a VideoData.

    Raises:
      ConfigError, DataError: it cannot be opened with these settings.
    """
    settings = config.get("data")
    if not isinstance(settings, Mapping):
        raise ConfigError("config.data is missing: a dict with source and image_size")
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


def check_dataset(config: Mapping[str, Any], data: Any, *, spatial_factor: int = 1) -> None:
    """Check that the dataset fits the batch and the model.

    Args:
      spatial_factor: pixels per latent along height and width.

    Raises:
      ConfigError, DataError: the message names the setting to change.
    """
    height, _, channels = data.transform.shape
    model = config["model"]
    if model.get("image_size", height) != height:
        raise ConfigError(
            f"model.image_size={model['image_size']}, but data.image_size={height}: make them equal"
        )
    if model.get("image_channels", 3) != channels:
        raise ConfigError(
            f"model.image_channels={model.get('image_channels', 3)}, but data.channels={channels}: "
            "make them equal"
        )
    buckets = shapes_of(config["data"].get("buckets", ()))
    key = "data.buckets" if buckets else "data.image_size"
    for shape in buckets or [(height, height)]:
        if any(side % spatial_factor for side in shape):
            raise ConfigError(
                f"{key}: {shape[0]}x{shape[1]} must be multiples of {spatial_factor}, the pixels "
                f"per latent of {model['name']} along each side"
            )
    _check_classes(model, data)
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
