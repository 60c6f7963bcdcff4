"""Codecs of Hugging Face diffusers, such as AutoencoderKL; a folder becomes a codec.

The folder has config.json and diffusion_pytorch_model.safetensors, in one file or in shards, in any
precision; pipeline.published has a file for each family of classes. Reading it needs neither torch
nor diffusers.
"""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from pipeline import published
from pipeline.core import bounds
from pipeline.core.errors import CheckpointError
from pipeline.formats import diffusers_folder, state_dict
from pipeline.importers import Imported, check_hidden_settings, provenance, shapes_of

FILES = ("DIR",)
CONFIG, WEIGHTS = diffusers_folder.CONFIG, diffusers_folder.WEIGHTS


def read(paths: Sequence[str], model: Mapping[str, Any] | None = None) -> Imported:
    """Read the folder into `model`, or into the model that its config.json describes.

    Raises:
      DataError: the folder or a file in it is missing or damaged.
      CheckpointError: it holds another kind of model, or one that does not fit.
      ConfigError: `model` has other settings than the weights were trained with.
    """
    (path,) = paths
    settings = diffusers_folder.settings(path)
    file = str(pathlib.Path(path) / CONFIG)
    bounds.check(settings, file)
    family, released = describe(settings, file)
    model = released if model is None else model
    check_hidden_settings(model, released, family.HIDDEN, paths)
    tensors = diffusers_folder.load(path)
    with _named(file):
        latents = family.read_statistics(settings, tensors)
    _, buffers = family.write_statistics(latents, published.complete(released))
    arrays = state_dict.convert(
        tensors, shapes_of(model, tensors), family.rule(model, tensors), path=path, ignored=buffers
    )
    return Imported(model, arrays, latents, provenance(__name__, paths), settings)


def describe(settings: Mapping[str, Any], file: str) -> tuple[ModuleType, dict[str, Any]]:
    """Return the file of pipeline.published for a config.json, and config.model.

    Raises:
      CheckpointError: it describes a network that we do not have; the message begins with `file`.
    """
    with _named(file):
        family = published.of_class(settings.get("_class_name"))
        return family, family.recipe(settings)


@contextlib.contextmanager
def _named(file: str) -> Iterator[None]:
    """Put the name of the file in front of what is wrong with its settings."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{file}: {error}") from None
