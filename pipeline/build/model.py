"""config.model -> a function that creates the model."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from flax import nnx

from pipeline import models
from pipeline.core.errors import ConfigError

# config.dtype: the dtype of activations; parameters are float32 in either.
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def model_factory(config: Mapping[str, Any]) -> Callable[[nnx.Rngs], nnx.Module]:
    """Return a function that creates the model of config.model from its random streams.

    Raises:
      ConfigError: config.dtype is another one.
    """
    dtype = DTYPES.get(config["dtype"])
    if dtype is None:
        raise ConfigError(f"dtype={config['dtype']!r} must be {' or '.join(map(repr, DTYPES))}")
    return lambda rngs: models.create(config["model"], rngs=rngs, dtype=dtype)
