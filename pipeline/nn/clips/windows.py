"""A network applied to a clip window by window, where windows belong to the codec.

pipeline.core.windows says what they are.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from pipeline.core.windows import Windows
from pipeline.nn.cache import CacheArrays, CausalCache

Clip = Float[Array, "b _ _ _ _"]


def in_windows(network: Any, x: Clip, windows: Windows, *, unit: int, remat: bool = False) -> Clip:
    """Return the network's output for a whole clip, coded window by window.

    Args:
      network: takes a clip, and `cache` if windows are consecutive; what it returns besides its
        output is left out.
      x: frames with unit=1, latents with unit=windows.factor.
      remat: recompute a window's activations in the backward pass, a whole window at a time.

    Raises:
      ValueError: the clip has a length that windows do not fill.
    """
    spans = windows.spans(x.shape[1], unit=unit)
    graph, state = nnx.split(network)
    window = functools.partial(_window, graph, windows.consecutive)
    window = jax.checkpoint(window) if remat else window
    start, stop = spans[0]
    first, arrays = window(state, x[:, start:stop], None)
    if len(spans) == 1:
        return first
    # All windows but the first have one size: they are one loop, whatever the clip's length.
    rest = jnp.stack([x[:, start:stop] for start, stop in spans[1:]])

    def step(arrays: Any, x: Clip) -> tuple[Any, Clip]:
        y, arrays = window(state, x, arrays)
        return arrays, y

    _, others = jax.lax.scan(step, arrays, rest)
    outputs = [first, *others]
    overlap = windows.overlap // (windows.factor if unit == 1 else 1)
    return jnp.concatenate(outputs, axis=1) if overlap == 0 else _blended(outputs, overlap)


def ramp(overlap: int) -> Float[np.ndarray, "t 1 1 1"]:
    """Return the weights of a window's first frames; those of the window before are 1 minus them.

    The first one is 0, as in Allegro's code.
    """
    return (np.arange(overlap, dtype=np.float32) / overlap).reshape(-1, 1, 1, 1)


def _window(
    graph: Any, consecutive: bool, state: Any, x: Clip, arrays: CacheArrays | None
) -> tuple[Clip, CacheArrays | None]:
    network = nnx.merge(graph, state)
    if not consecutive:
        return network(x)[0], None
    cache = CausalCache(arrays)
    y, _ = network(x, cache=cache)
    return y, cache.arrays()


def _blended(outputs: list[Clip], overlap: int) -> Clip:
    weights = ramp(overlap)
    joined = outputs[0]
    for y in outputs[1:]:
        both = joined[:, -overlap:] * (1 - weights) + y[:, :overlap] * weights
        joined = jnp.concatenate([joined[:, :-overlap], both, y[:, overlap:]], axis=1)
    return joined
