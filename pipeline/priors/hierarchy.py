"""What every hierarchy's `decode` asks of its arguments, and where its layers' random numbers come from."""

from collections.abc import Sequence
from typing import Any

import jax
from jaxtyping import PRNGKeyArray

from pipeline.core.errors import ConfigError


def decode_arguments(
    latents: Sequence[Any], num: int | None, temperature: float | Sequence[float], num_layers: int
) -> tuple[int, Sequence[float]]:
    """The number of images and one temperature a layer, of what a `decode` was given.

    Raises:
      ConfigError: neither latents nor `num`, more latents than layers, or another number of temperatures.
    """
    batch = latents[0].shape[0] if latents else num
    if batch is None:
        raise ConfigError("decode without latents needs num, the number of images")
    if len(latents) > num_layers:
        raise ConfigError(f"decode got {len(latents)} latents, and the model has {num_layers}")
    temperatures = temperature if isinstance(temperature, Sequence) else [temperature] * num_layers
    if len(temperatures) != num_layers:
        raise ConfigError(
            f"temperature has {len(temperatures)} entries, and the model {num_layers} layers"
        )
    return batch, temperatures


def layer_key(key: PRNGKeyArray | None, layer: int) -> PRNGKeyArray | None:
    """The key of stochastic layer `layer`, 0 at the top; no key has none."""
    return None if key is None else jax.random.fold_in(key, layer)
