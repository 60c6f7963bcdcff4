"""Nats to bits per dimension."""

import math

from jaxtyping import Array, Float


def bits_per_dim(nats: Float[Array, "*shape"] | float, dims: int) -> Float[Array, "*shape"] | float:
    """Nats of a whole image to bits for each of its `dims` = height * width * channels values.

    Of 8-bit images a uniform distribution has 8.
    """
    return nats / (dims * math.log(2))
