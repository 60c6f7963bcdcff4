"""Importers of released weights: one file a family, found by the name in `strata import --from`.

A file defines:
  its docstring, whose first line describes it in `strata import --help`.
  FILES: names of the files or folders that it reads, as arguments of the command.
  read(paths, model=None): returns Imported. `model` is config.model of a recipe; without one, the
    importer makes the model that the files describe, or raises ConfigError if they do not.
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx

from pipeline import models
from pipeline.core import bounds, parameters
from pipeline.core.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Imported:
    """Released weights as the parameters of one of our models.

    Attributes:
      model: config.model.
      arrays: parameters and running statistics by name, float32.
      latents: statistics of each latent channel (pipeline.codec.latent_stats.summary), or {}.
      provenance: the importer and the names of the files.
      published: the content of the files' config.json, from which exporters restore it, or {}.
    """

    model: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    latents: Mapping[str, Any]
    provenance: str
    published: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def provenance(module: str, paths: Sequence[str]) -> str:
    """Return "importer: files", without the files' folders; `module` is the importer's __name__."""
    files = " and ".join(pathlib.Path(path).name for path in paths)
    return f"{module.rpartition('.')[2].replace('_', '-')}: {files}"


def shapes_of(
    model: Mapping[str, Any], tensors: Mapping[str, Any] | None = None
) -> dict[str, jax.ShapeDtypeStruct]:
    """Return the shapes of a model's parameters and other variables, such as running statistics,
    by name.

    Args:
      model: config.model.
      tensors: those of the files, which bound a model that the files describe themselves.

    Raises:
      CheckpointError: the model is much larger than these tensors.
    """
    limit = None if tensors is None else bounds.Bounds.of(tensors)
    with contextlib.nullcontext() if limit is None else limit.counted("config.json"):
        _, shapes, others = parameters.abstract(lambda: models.create(model, rngs=nnx.Rngs(0)))
    return shapes | others


def check_hidden_settings(
    model: Mapping[str, Any],
    released: Mapping[str, Any],
    keys: Sequence[str],
    paths: Sequence[str],
) -> None:
    """Check settings on which names and shapes of weights do not depend, but the function does.

    Args:
      model: config.model of the recipe to be filled.
      released: config.model of the network that the files hold.
      keys: the settings that must agree; a part's setting is written as "encoder.groups". Another
        model is left to the conversion, which names every mismatch.

    Raises:
      ConfigError: they differ; the message has the overrides to give.
    """
    given, wanted = models.settings(model), models.settings(released)
    names = [key for key in wanted if key.rpartition(".")[2] == "name"]
    if any(given.get(key) != wanted[key] for key in names):
        return
    different = {key: wanted[key] for key in keys if given[key] != wanted[key]}
    if different:
        trained = " and ".join(
            f"model.{key}={value!r}, not {given[key]!r}" for key, value in different.items()
        )
        overrides = " ".join(f"--config.model.{key}={value}" for key, value in different.items())
        raise ConfigError(
            f"{' and '.join(paths)} was trained with {trained}: give {overrides}; docs/codecs.md "
            "(Released weights) explains how to continue training in the recipe's own form"
        )
