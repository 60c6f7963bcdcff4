"""Attention of each token to all tokens, with several heads."""

from flax import nnx
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.nn.attention import attend_heads
from pipeline.nn.init import LayerFactory
from pipeline.nn.tokens.linear import Linear
from pipeline.nn.tokens.rotary import Turns, turned


class Attention(nnx.Module):
    """out(softmax(q k^T / sqrt(c / heads)) v); the softmax is in float32.

    Args:
      key_bias: whether keys have a bias, which only matters with rotary positions.
    """

    def __init__(self, width: int, heads: int, *, key_bias: bool = True, make: LayerFactory):
        if width % heads:
            raise ConfigError(f"heads={heads} must divide width={width}")
        self.query, self.key = make(Linear, width, width), make(Linear, width, width, bias=key_bias)
        self.value, self.out = make(Linear, width, width), make(Linear, width, width)
        self.heads = heads

    def __call__(self, x: Float[Array, "b n c"], by: Turns | None = None) -> Float[Array, "b n c"]:
        """Return the attention; `by` rotates queries and keys of patches (rotary positions)."""
        query, key, value = (
            layer(x).reshape(*x.shape[:2], self.heads, -1)
            for layer in (self.query, self.key, self.value)
        )
        if by is not None:
            query, key = turned(query, by), turned(key, by)
        return self.out(attend_heads(query, key, value).reshape(x.shape))
