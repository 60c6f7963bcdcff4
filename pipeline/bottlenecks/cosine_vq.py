"""Vector quantization on the unit sphere (ViT-VQGAN, arXiv 2110.04627, section 3.2)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.bottlenecks.vq import VQ

_TINY = 1e-12


class CosineVQ(VQ):
    """Vectors and codes of length 1: the nearest code is the one with the largest cosine.

    The arguments are those of pipeline.bottlenecks.vq.VQ. Codes stay in their codebook as they are,
    and are scaled when they are used.
    """

    def vectors(self, h: Float[Array, "*shape d"]) -> Float[Array, "*shape d"]:
        """Return the vectors, scaled to length 1."""
        return _unit(h.astype(jnp.float32))

    def codes(self) -> Float[Array, "k d"]:
        """Return the codes, scaled to length 1."""
        return _unit(self.codebook())


def _unit(x: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
    # The gradient of a square root is infinite at 0.
    return x / jnp.sqrt(jnp.maximum(jnp.square(x).sum(axis=-1, keepdims=True), _TINY))
