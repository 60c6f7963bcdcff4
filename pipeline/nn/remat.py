"""Rematerialization of a layer: its activations are recomputed in the backward pass instead of
stored.
"""

from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from pipeline.nn.cache import CausalCache


def run(
    layer: Any, x: Float[Array, "..."], cache: CausalCache | None = None, *more: Any, remat: bool
) -> Float[Array, "..."]:
    """Return layer(x, cache, *more); with `remat`, rematerialized.

    Where there is neither a cache nor more, the layer gets x alone.

    Raises:
      ValueError: both are given: what a cache collects must not come out of a rematerialized
        function.
    """
    if not remat:
        return layer(x) if cache is None and not more else layer(x, cache, *more)
    if cache is not None:
        raise ValueError("remat is for training, and a cache for coding chunks of a clip")
    inputs = (None, *more) if more else ()
    return nnx.remat(type(layer).__call__)(layer, x, *inputs)
