"""Models, found by name: one file a paper, or a folder where it has parts of its own.

autoencoder.Autoencoder composes a codec from networks and a bottleneck. Every model keeps the
contract in docs/extending.md; tests/models/contract_test.py checks it.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from pipeline.core.construct import construct, default_arguments, find, suspects
from pipeline.core.errors import ConfigError


def create(recipe: Mapping[str, Any], *, rngs: nnx.Rngs, dtype: Any = jnp.float32) -> Any:
    """Build the model that `recipe` (config.model) names; it has float32 parameters and computes in
    `dtype`.

    Raises:
      ConfigError: the recipe has impossible settings; the message names them.
    """
    name = recipe.get("name") if isinstance(recipe, Mapping) else None
    kind: Any = find("pipeline.models", name, where="model") if isinstance(name, str) else None
    if kind is not None and not issubclass(kind, nnx.Module):
        raise ConfigError(f"model.name={name!r} is not a model")
    model = construct("pipeline.models", recipe, where="model", rngs=rngs, dtype=dtype)
    leaves = jax.tree_util.tree_leaves_with_path(nnx.state(model, nnx.Param))
    empty = [(path, leaf.shape) for path, leaf in leaves if 0 in leaf.shape]
    if empty:
        path, shape = empty[0]
        name = jax.tree_util.keystr(path, simple=True, separator=".").removesuffix(".value")
        raise ConfigError(
            f"{suspects(recipe, 'model')}: {name} would have no elements (shape {shape}): sizes "
            "are 1 or more"
        )
    return model


def settings(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings of config.model by name, defaults included; a part's are
    "encoder.num_blocks" and so on.
    """
    model = find("pipeline.models", recipe["name"], where="model")
    found = default_arguments(model) | dict(recipe)
    for part, package in getattr(model, "parts", {}).items():
        own = found.pop(part)
        whole = default_arguments(find(package, own["name"], where=f"model.{part}")) | dict(own)
        found |= {f"{part}.{key}": value for key, value in whole.items()}
    return found
