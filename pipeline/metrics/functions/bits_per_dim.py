"""Conversion of nats to bits per dimension."""

import math

from jaxtyping import Array, Float


def bits_per_dim(
    nats: Float[Array, "*shape"] | float, dims: float | int
) -> Float[Array, "*shape"] | float:
    """Convert the nats of a whole image to bits for each of its `dims` values.

    `dims` is height * width * channels. A uniform distribution over 8-bit images has 8 bits.
    """
    return nats / (dims * math.log(2))
