"""config.model -> a function that creates the model, or its codec without weights."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from flax import nnx

from pipeline import models
from pipeline.codec.any_size import AnySizeCodec
from pipeline.core import parameters
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


def abstract_codec(config: Mapping[str, Any]) -> AnySizeCodec:
    """Return the codec of a complete recipe, or of a codec's config, with shapes as its weights.

    Raises:
      ConfigError: the model cannot be built, or has a fixed size.
    """
    create = model_factory(config)
    modeldef, params, model_state = parameters.abstract(lambda: create(nnx.Rngs(0)))
    kind = modeldef.skeleton().codec_kind
    if kind != "any_size":
        raise ConfigError(
            f"--encode and --decode plan codecs of any size, and {config['model']['name']} has "
            "a fixed size: without them, strata plan has the figures of its training step"
        )
    return AnySizeCodec(modeldef, params | model_state, config)
