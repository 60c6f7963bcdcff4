"""Latents of quantizers that choose codes with certainty, and a uniform prior over codes."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pipeline.core.errors import ConfigError
from pipeline.core.types import Latent

MOST_CODES = 1 << 24  # codes are counted one by one, in float32


def latent(
    z: Float[Array, "*n d"], indices: Int[Array, "..."], num_codes: int, choices: int = 1
) -> Latent:
    """Return the latent of chosen codes, `choices` at each position.

    `kl` [*n 1] is the rate under the uniform prior, choices * log(num_codes) nats.
    """
    nats = choices * math.log(num_codes)
    zeros = jnp.zeros((*z.shape[:-1], 1), jnp.float32)
    return Latent(
        z, zeros + nats, indices=indices, log_q=zeros, log_p=zeros - nats, num_codes=num_codes
    )


def draw(
    decode: Callable[[Int[Array, "*shape"]], Float[Array, "*shape d"]],
    num_codes: int,
    mean: Float[Array, " d"],
    shape: tuple[int, ...],
    key: PRNGKeyArray | None,
    temperature: Float[Array, ""] | float | int,
) -> Float[Array, "*shape d"]:
    """Return codes drawn uniformly for each position, or without a key their mean.

    `temperature` multiplies the codes' deviations from that mean.
    """
    if key is None:
        return jnp.broadcast_to(mean, (*shape, mean.shape[0]))
    return mean + temperature * (decode(jax.random.randint(key, shape, 0, num_codes)) - mean)


def check_number(num_codes: int, what: str) -> None:
    """Raise ConfigError for a number of codes that cannot be; `what` names the setting."""
    if not 1 <= num_codes <= MOST_CODES:
        raise ConfigError(f"{what} gives {num_codes:,} codes; from 1 to {MOST_CODES:,} can be used")
