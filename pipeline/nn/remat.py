"""Rematerialization of a layer: its activations are recomputed in the backward pass instead of
stored.
"""

from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from pipeline.nn.cache import CausalCache


def run(
    layer: Any, x: Float[Array, "..."], cache: CausalCache | None = None, *, remat: bool
) -> Float[Array, "..."]:
    """Return layer(x), or layer(x, cache) where there is a cache; with `remat`, rematerialized.

    Raises:
      ValueError: both are given: what a cache collects must not come out of a rematerialized
        function.
    """
    if not remat:
        return layer(x) if cache is None else layer(x, cache)
    if cache is not None:
        raise ValueError("remat is for training, and a cache for coding chunks of a clip")
    return nnx.remat(type(layer).__call__)(layer, x)
