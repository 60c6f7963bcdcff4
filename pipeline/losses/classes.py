"""Bounds of a model that has a class among its latents (M2, arXiv 1406.5298).

The model gives aux["class_bounds"] [b k], the negative bound L(x, y) of each class in nats, and
aux["class_log_q"] [b k], log q(y | x).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.core.types import Outputs


def unlabelled_bound(bounds: Float[Array, "b k"], log_q: Float[Array, "b k"]) -> Float[Array, " b"]:
    """Return U(x) = sum_y q(y | x) (L(x, y) + log q(y | x)) of negative bounds L, in nats.

    It is smallest at q(y | x) ~ exp(-L(x, y)), where it is -log sum_y exp(-L(x, y)).
    """
    return (jnp.exp(log_q) * (bounds + log_q)).sum(axis=-1)


def of_classes(outputs: Outputs, where: str) -> tuple[Float[Array, "b k"], Float[Array, "b k"]]:
    """Return the bounds and log-probabilities of the classes.

    Raises:
      ConfigError: the model has no classes among its latents.
    """
    if "class_bounds" not in outputs.aux:
        raise ConfigError(f"{where} is for models with a class among their latents, such as m2.M2")
    return outputs.aux["class_bounds"], outputs.aux["class_log_q"]
