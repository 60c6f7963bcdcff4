"""config.model -> a function that creates the model, or its codec without weights; what is done to
its latents in training (config.regularizers).
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from flax import nnx

from pipeline import models
from pipeline.codec.any_size import AnySizeCodec
from pipeline.core import parameters
from pipeline.core.construct import find
from pipeline.core.errors import ConfigError
from pipeline.regularizers import create as regularizers
from pipeline.regularizers.base import Regularizers

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


def regularizers_of(config: Mapping[str, Any]) -> Regularizers:
    """Return the regularizers of config.regularizers.

    Raises:
      ConfigError: a mistake, or a step or a model that has no place for them.
    """
    channels = config["model"].get("latent_channels", 0)
    found = regularizers.create(config.get("regularizers", {}), latent_channels=channels)
    if not found.parts:
        return found
    where = f"config.regularizers.{found.parts[0][0]}"
    if config["step"] == "elbo":
        raise ConfigError(f"{where} needs config.step='adversarial', also without a GAN")
    if found.changes_images and "wavelet" in config["objective"]:
        raise ConfigError(
            f"{where}: objective.wavelet compares arrays of both networks, whose sizes differ "
            "here: remove one of them"
        )
    kind: Any = find("pipeline.models", str(config["model"]["name"]), where="model")
    if not getattr(kind, "regularizes_latents", False):
        raise ConfigError(
            f"{where}: {config['model']['name']} has no place for regularizers of its latents; "
            "autoencoder.Autoencoder has"
        )
    return found
