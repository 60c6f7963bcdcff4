"""The squared error between vectors and their codes, for the terms of vector quantization.

It is a mean over the elements of the latents, as in the authors' code, and so counts once for each
value of a frame (`per_value` of a term).
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.core.types import Batch, Outputs
from pipeline.losses.term import num_frames


def commitment_error(outputs: Outputs, batch: Batch, where: str) -> Float[Array, " b"]:
    """Return |x - code|^2, whose gradient moves the vectors x."""
    return _error(outputs, batch, where, lambda x, code: (x, jax.lax.stop_gradient(code)))


def codebook_error(outputs: Outputs, batch: Batch, where: str) -> Float[Array, " b"]:
    """Return |x - code|^2, whose gradient moves the codes."""
    return _error(outputs, batch, where, lambda x, code: (jax.lax.stop_gradient(x), code))


def array_of(outputs: Outputs, name: str, where: str) -> Any:
    """Return an array that a discrete bottleneck gives to its terms.

    Raises:
      ConfigError: the bottleneck does not give it.
    """
    if name not in outputs.aux:
        raise ConfigError(f"{where}: this model's bottleneck has no {name}; remove the term")
    return outputs.aux[name]


def mean_per_frame(x: Float[Array, "b ..."], batch: Batch) -> Float[Array, " b"]:
    """Return the mean over all but the first axis, times the number of frames."""
    return x.reshape(x.shape[0], -1).mean(axis=-1) * num_frames(batch)


def _error(outputs: Outputs, batch: Batch, where: str, still: Any) -> Float[Array, " b"]:
    pairs = zip(array_of(outputs, "vectors", where), array_of(outputs, "codes", where), strict=True)
    errors = []
    for x, code in pairs:
        x, code = still(x, code)
        errors.append(mean_per_frame(jnp.square(x - code), batch))
    return sum(errors[1:], errors[0]) / len(errors)
