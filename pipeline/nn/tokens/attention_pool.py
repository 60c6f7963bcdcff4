"""Pooling of tokens by the attention of one learned query (arXiv 2106.04560), as SigLIP has it."""

from collections.abc import Callable

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.nn.attention import attend_heads
from pipeline.nn.init import LayerFactory
from pipeline.nn.tokens.extra_tokens import ExtraTokens
from pipeline.nn.tokens.linear import Linear


class AttentionPool(nnx.Module):
    """x + mlp(norm(x)), where x is the attention of a learned query to all tokens."""

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        norm: Callable[..., nnx.Module],
        mlp: nnx.Module,
        make: LayerFactory,
    ):
        self.probe = make(ExtraTokens, 1, width)
        self.query, self.key, self.value, self.out = (make(Linear, width, width) for _ in range(4))
        self.norm, self.mlp = norm(width), mlp
        self.heads = heads

    def __call__(self, tokens: Float[Array, "b n c"]) -> Float[Array, "b c"]:
        probe = self.probe(len(tokens))
        query, key, value = (
            layer(x).reshape(*x.shape[:2], self.heads, -1)
            for layer, x in ((self.query, probe), (self.key, tokens), (self.value, tokens))
        )
        x = self.out(attend_heads(query, key, value).reshape(probe.shape))
        return jnp.squeeze(x + self.mlp(self.norm(x)), axis=1)
