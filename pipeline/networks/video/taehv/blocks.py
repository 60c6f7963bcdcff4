"""The blocks of TAEHV, which see the frame before."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.nn.cache import CausalCache, with_context
from pipeline.nn.conv import Conv

Clip = Float[Array, "b _ _ _ _"]


def frame_before(x: Clip, cache: CausalCache | None) -> Clip:
    """Return for each frame the one before it; the first frame of a clip has one of zeros."""
    return with_context(cache, x, lambda x: jnp.zeros_like(x[:, :1]), keep=1)[:, :-1]


def conv(width: int, out: int, size: int, rngs: nnx.Rngs, dtype: Any, **settings: Any) -> Conv:
    settings = {"bias_scale": 1.0} | settings
    return Conv(width, out, size, key=rngs.params(), dtype=dtype, **settings)


class Block(nnx.Module):
    """relu(x + conv(relu(conv(relu(conv(x and the frame before)))))), all 3x3."""

    def __init__(self, width: int, *, rngs: nnx.Rngs, dtype: Any):
        widths = (2 * width, width, width)
        self.convs = nnx.List([conv(each, width, 3, rngs, dtype) for each in widths])

    def __call__(self, x: Clip, cache: CausalCache | None = None) -> Clip:
        first, *rest = self.convs
        h = first(x, frame_before(x, cache))
        for layer in rest:
            h = layer(nnx.relu(h))
        return nnx.relu(h + x)
