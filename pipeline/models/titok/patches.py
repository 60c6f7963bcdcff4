"""A decoder from the latent's tokens to one vector for each patch, such as its pixels."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.models.titok.transformer import Sequence, learned, linear


class PatchDecoder(nnx.Module):
    """Tokens of the latent [b n d] -> vectors of the patches [b m out], in the order of rows.

    Args:
      side: patches along each side of an image.
      sequence_class: class of the transformer.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        side: int,
        num_tokens: int,
        width: int,
        depth: int,
        heads: int,
        sequence_class: type[Sequence] = Sequence,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        self.side = side
        self.embed = linear(in_channels, width, rngs, dtype)
        self.mask_token = learned(rngs, (1, width))
        self.sequence = sequence_class(
            side**2, num_tokens, width, depth, heads, rngs=rngs, dtype=dtype
        )
        self.project = linear(width, out_channels, rngs, dtype)

    def __call__(self, z: Float[Array, "b n d"]) -> Float[Array, "b m out"]:
        tokens = self.embed(z)
        b, _, width = tokens.shape
        patches = jnp.broadcast_to(self.mask_token[...], (b, self.side**2, width))
        patches, _ = self.sequence(patches.astype(tokens.dtype), tokens)
        return self.project(self.sequence.norm_out(patches)).astype(jnp.float32)
