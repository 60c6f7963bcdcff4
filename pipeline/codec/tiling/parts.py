"""Functions that code one part of a clip or image, a chunk or a tile of one, to be compiled."""

from typing import Any

from jaxtyping import Array

from pipeline.backend.jit import jit
from pipeline.core import pixels
from pipeline.core.parameters import ModelDef
from pipeline.core.types import Latent
from pipeline.nn.cache import CacheArrays, CausalCache


def encode_part(
    modeldef: ModelDef,
    remembers: bool,
    params: Any,
    model_state: Any,
    arrays: CacheArrays | None,
    x: Array,
) -> tuple[tuple[Array, ...], CacheArrays | None]:
    """Return (means, log-variances), or (indices [... m],) of codes, and the next chunk's cache.

    The cache is None unless the encoder `remembers` earlier chunks: because it is causal, or has
    consecutive windows.
    """
    model = modeldef.merge(params, model_state)
    if not remembers:
        (latent,) = model.encode(x)
        return _arrays(latent), None
    cache = CausalCache(arrays)
    (latent,) = model.encode(x, cache=cache)
    return _arrays(latent), cache.arrays()


def decode_part(
    modeldef: ModelDef,
    remembers: bool,
    params: Any,
    model_state: Any,
    arrays: CacheArrays | None,
    z: Array,
) -> tuple[tuple[Array], CacheArrays | None]:
    """Return (float frames,) and the cache for the next chunk, None as in `encode_part`."""
    model = modeldef.merge(params, model_state)
    if not remembers:
        return (model.decode((z,)).mean(),), None
    cache = CausalCache(arrays)
    return (model.decode((z,), cache=cache).mean(),), cache.arrays()


def codes_part(modeldef: ModelDef, params: Any, model_state: Any, indices: Array) -> Array:
    """Return the latents of the indices of codes."""
    return modeldef.merge(params, model_state).latents_of((indices,))[0]


def _arrays(latent: Latent) -> tuple[Array, ...]:
    if latent.indices is None:
        assert latent.mean is not None and latent.logvar is not None
        return latent.mean, latent.logvar
    several = latent.indices.ndim == latent.z.ndim
    return (latent.indices if several else latent.indices[..., None],)


@jit
def to_uint8(frames: Array) -> Array:
    """Return float frames as uint8."""
    return pixels.to_uint8(frames)
