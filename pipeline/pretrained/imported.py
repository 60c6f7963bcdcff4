"""Codecs of released weights: what an importer has read, as the parts of a codec."""

import dataclasses
import os
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from pipeline import __version__, models
from pipeline.codec.places import Found
from pipeline.core import parameters
from pipeline.core.construct import blaming
from pipeline.core.errors import DataError
from pipeline.core.parameters import ModelDef
from pipeline.formats.fingerprint import fingerprint_of
from pipeline.importers import Imported, diffusers

Parts = tuple[ModelDef, dict[str, Any], dict[str, Any], str]


def parts_of(imported: Imported, *, dtype: str = "float32", license: str = "unknown") -> Parts:
    """Return (model definition, weights, config.json, fingerprint) of a codec.

    Args:
      imported: what an importer has read.
      dtype: dtype of computation.
      license: license of the weights, for the model card.
    """
    recipe = dict(imported.model)
    modeldef, shapes, _ = parameters.abstract(
        lambda: models.create(recipe, rngs=nnx.Rngs(0), dtype=jnp.dtype(dtype))
    )
    model = modeldef.skeleton()
    config = {
        "strata_version": __version__,
        "model": recipe,
        "dtype": dtype,
        "input": {
            "image_shape": [model.image_size, model.image_size, model.image_channels],
            "bits": 8,
        },
        "imported_from": imported.provenance,
        "license": license,
        "latent_shapes": [list(shape) for shape in model.latent_shapes],
        "num_parameters": sum(imported.arrays[name].size for name in shapes),
        **({"latents": dict(imported.latents)} if imported.latents else {}),
        **({"published": dict(imported.published)} if imported.published else {}),
    }
    return modeldef, dict(imported.arrays), config, fingerprint_of(imported.arrays)


def from_diffusers(found: Found, dtype: str | None = None) -> Parts:
    """Return `parts_of` a folder of diffusers; by default it computes in float32.

    Raises:
      CheckpointError: it holds a network that we do not have.
      DataError: a file is missing or damaged.
    """
    path = os.fspath(found.root)
    with found.named():
        with blaming(lambda: f"{path} cannot be read as diffusers", DataError):
            imported = diffusers.read([path])
        if found.shown != path:  # a cache's folder has a name of its own
            name = diffusers.provenance(diffusers.__name__, [found.shown])
            imported = dataclasses.replace(imported, provenance=name)
        modeldef, arrays, config, digest = parts_of(imported, dtype=dtype or "float32")
    return modeldef, jax.device_put(arrays), config, digest
