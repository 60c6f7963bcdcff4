"""Cross-attention of features to tokens of the condition (as in latent diffusion, 2112.10752)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.conditioning.modulation import zeros_linear
from pipeline.nn.init import layer_factory, normal
from pipeline.nn.norm import Momentum


class CrossAttention(nnx.Module):
    """x + out(softmax(q k^T / sqrt(d)) v), with q of x at each position, and k and v of tokens.

    The condition is one vector, of which linear layers make the tokens' keys and values: attention
    to a single token would add the same vector at all positions. There is one head, and the output
    layer starts from 0.

    Args:
      tokens: number of tokens.
      width: size d of queries, keys and values.
    """

    def __init__(
        self,
        features: int,
        condition: int,
        *,
        tokens: int = 4,
        width: int = 32,
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        self.tokens, self.width = tokens, width
        make = layer_factory(key, dtype)
        self.query = make(_linear, features, width)
        self.key = make(_linear, condition, tokens * width)
        self.value = make(_linear, condition, tokens * width)
        self.out = zeros_linear(width, features, dtype=dtype)

    def __call__(
        self, x: Float[Array, "b *shape c"], c: Float[Array, "b e"], momentum: Momentum = None
    ) -> Float[Array, "b *shape c"]:
        del momentum
        batch, (tokens, width) = len(x), (self.tokens, self.width)
        query = self.query(x).reshape(batch, -1, width)
        key, value = (layer(c).reshape(batch, tokens, width) for layer in (self.key, self.value))
        scores = jnp.einsum("bqd,bkd->bqk", query, key, preferred_element_type=jnp.float32)
        weights = jax.nn.softmax(scores * width**-0.5).astype(value.dtype)
        attended = self.out(jnp.einsum("bqk,bkd->bqd", weights, value))
        return x + attended.reshape(x.shape)


def _linear(inputs: int, outputs: int, *, key: PRNGKeyArray, dtype: Any) -> nnx.Linear:
    def draw(_: Any, shape: tuple[int, ...], *__: Any) -> Array:
        return normal(key, shape, inputs**-0.5)

    return nnx.Linear(inputs, outputs, kernel_init=draw, dtype=dtype, rngs=nnx.Rngs(0))
