"""One file a model. Every model keeps the contract in docs/adding_a_model.md."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import nnx

from pipeline.core.construct import construct


def create(recipe: Mapping[str, Any], *, rngs: nnx.Rngs, dtype: Any = jnp.float32) -> Any:
    """Builds the model that `recipe` (config.model) names; parameters are float32, `dtype` is that of the compute."""
    return construct("pipeline.models", recipe, where="model", rngs=rngs, dtype=dtype)
