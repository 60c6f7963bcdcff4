"""Vector quantization on the unit sphere (ViT-VQGAN, arXiv 2110.04627, section 3.2)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.bottlenecks.vq import VQ
from pipeline.quantization.sphere import on_sphere


class CosineVQ(VQ):
    """Vectors and codes of length 1: the nearest code is the one with the largest cosine.

    The arguments are those of pipeline.bottlenecks.vq.VQ. Codes stay in their codebook as they are,
    and are scaled when they are used.
    """

    def vectors(self, h: Float[Array, "*shape d"]) -> Float[Array, "*shape d"]:
        """Return the vectors, scaled to length 1."""
        return on_sphere(h.astype(jnp.float32))

    def codes(self) -> Float[Array, "k d"]:
        """Return the codes, scaled to length 1."""
        return on_sphere(self.codebook())
