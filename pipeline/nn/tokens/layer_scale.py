"""LayerScale: a learned factor for each channel of a residual branch (arXiv 2103.17239)."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


class LayerScale(nnx.Module):
    """x * scale, where the scale of each channel starts as `start`."""

    def __init__(self, width: int, *, start: float = 1.0):
        self.scale = nnx.Param(jnp.full((width,), start, jnp.float32))

    def __call__(self, x: Float[Array, "... c"]) -> Float[Array, "... c"]:
        return x * self.scale[...].astype(x.dtype)
