"""Functions that code one part of a clip or image, a chunk or a tile of one, to be compiled."""

from typing import Any

from jaxtyping import Array

from pipeline.backend.jit import jit
from pipeline.core import pixels
from pipeline.core.parameters import ModelDef
from pipeline.nn.cache import CacheArrays, CausalCache


def encode_part(
    modeldef: ModelDef,
    remembers: bool,
    params: Any,
    model_state: Any,
    arrays: CacheArrays | None,
    x: Array,
) -> tuple[Array, Array, CacheArrays | None]:
    """Return means, log-variances and the cache for the next chunk.

    The cache is None unless the encoder `remembers` earlier chunks, because it is causal.
    """
    model = modeldef.merge(params, model_state)
    if not remembers:
        (latent,) = model.encode(x)
        return latent.mean, latent.logvar, None
    cache = CausalCache(arrays)
    (latent,) = model.encode(x, cache=cache)
    return latent.mean, latent.logvar, cache.arrays()


def decode_part(
    modeldef: ModelDef,
    remembers: bool,
    params: Any,
    model_state: Any,
    arrays: CacheArrays | None,
    z: Array,
) -> tuple[Array, CacheArrays | None]:
    """Return float frames and the cache for the next chunk, which is None as in `encode_part`."""
    model = modeldef.merge(params, model_state)
    if not remembers:
        return model.decode((z,)).mean(), None
    cache = CausalCache(arrays)
    return model.decode((z,), cache=cache).mean(), cache.arrays()


@jit
def to_uint8(frames: Array) -> Array:
    """Return float frames as uint8."""
    return pixels.to_uint8(frames)
