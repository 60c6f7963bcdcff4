"""A folder for diffusers' from_pretrained: config.json and diffusion_pytorch_model.safetensors."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

from pipeline import published
from pipeline.codec.base import BaseCodec
from pipeline.core.errors import StrataError
from pipeline.formats import diffusers_folder, state_dict
from pipeline.storage import transfer
from pipeline.storage.paths import AnyPath, Path, as_path

FILES = (diffusers_folder.WEIGHTS, diffusers_folder.CONFIG)


def write(
    codec: BaseCodec,
    out: AnyPath,
    *,
    preview: UInt8[np.ndarray, "height width 3"] | None = None,
) -> tuple[Path, ...]:
    """Write the weights and config.json; there is no file for the preview.

    A codec that was imported from such a folder, and has the model and the statistics of latents
    that it came with, gets that folder's config.json.

    Raises:
      ConfigError: diffusers has no class for the codec, or a file cannot be written.
    """
    del preview
    settings, tensors = content(codec.config, codec.weights)
    files = diffusers_folder.content(settings, tensors)
    transfer.write_files(out, files, name="folder")
    return tuple(as_path(out) / name for name in FILES)


def content(
    config: Mapping[str, Any], weights: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the settings and the tensors of a codec with this config.json and these weights.

    Raises:
      ConfigError: there is no class for it.
    """
    model, latents = config["model"], config.get("latents") or {}
    original = config.get("published")
    if isinstance(original, dict) and _describes(original, model):
        family, settings = published.of_class(original["_class_name"]), original
    else:
        family, settings = published.of_model(model)
    whole = published.complete(model)
    of_latents, buffers = family.write_statistics(latents, whole)
    arrays = {name: np.asarray(array) for name, array in weights.items()}
    tensors = state_dict.restore(arrays, family.rule(whole, ())) | buffers
    if settings is not original or family.read_statistics(original, tensors) != latents:
        settings = {**settings, **of_latents}
    return dict(settings), tensors


def _describes(settings: dict[str, Any], model: dict[str, Any]) -> bool:
    """Return whether a config.json that a codec records is of the codec's model."""
    try:
        family = published.of_class(settings.get("_class_name"))
        return not published.differences(family.recipe(settings), model)
    except (StrataError, KeyError, TypeError, ValueError):  # it may be anything
        return False
